"""A USB hub resets: microphone and speaker of one daemon vanish in the same moment and return together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from pulse_daemon import Pulse, until

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import DeviceLost
from voice_needle.listen.microphone import Microphone
from voice_needle.speak.device import DeviceSink

NOISE = np.random.default_rng(7).normal(0, 6_000, SAMPLE_RATE_HZ // 2).astype(np.int16)


async def test_both_devices_of_a_hub_come_back_and_hear_each_other_again(pulse: Pulse):
    assert pulse.usb is not None
    lost: list[str] = []
    back: list[str] = []
    microphone = Microphone(
        "usb_microphone", lost_after_ms=1_000, retry_ms=100, on_lost=lambda _: lost.append("in"), on_back=lambda: back.append("in")
    )
    speaker = DeviceSink(
        "usb_speaker", lost_after_ms=1_000, retry_ms=100, on_lost=lambda _: lost.append("out"), on_back=lambda: back.append("out")
    )
    frames = microphone.frames()
    async with asyncio.timeout(90):
        assert len(await anext(frames)) == 160
        await speaker.start()
        answer = asyncio.ensure_future(endless(speaker))
        await heard(frames)  # the speaker is in the microphone's room
        pulse.usb.unplug("usb")
        listening = asyncio.ensure_future(anext(frames))
        assert isinstance(await ended(answer), DeviceLost)
        await until(lambda: set(lost) == {"in", "out"})
        await asyncio.to_thread(pulse.usb.plug, "usb")
        await until(lambda: set(back) == {"in", "out"}, 60)
        await settled(lost, back)
        await listening
        again = asyncio.ensure_future(speaker.play(NOISE))
        await heard(frames)
        assert await again
    assert lost.count("in") == back.count("in") and lost.count("out") == back.count("out")
    await frames.aclose()
    await speaker.close()


async def endless(speaker: DeviceSink) -> None:
    while True:
        await speaker.play(NOISE)


async def ended(answer: asyncio.Future[None]) -> BaseException | None:
    await asyncio.wait([answer])
    return answer.exception()


async def settled(lost: list[str], back: list[str]) -> None:
    """Return when all that was lost is back and stays: PulseAudio may hold up the first to return while the other opens."""
    seen: tuple[int, int] | None = None
    while seen != (len(lost), len(back)) or len(lost) != len(back):
        seen = (len(lost), len(back))
        await asyncio.sleep(1.5)  # longer than lost_after_ms: what does not move is noticed by then


async def heard(frames: AsyncIterator[Samples]) -> None:
    """Return when something loud is heard."""
    while np.abs((await anext(frames)).astype(int)).max() < 1_000:
        pass

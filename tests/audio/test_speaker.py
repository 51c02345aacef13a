"""The speaker on a real PulseAudio daemon: bit-exact, silent within a block, and true about what was heard."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse_daemon import Pulse, until

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import DeviceLost, UnknownDevice
from voice_needle.listen.microphone import Microphone
from voice_needle.speak import get_voice
from voice_needle.speak.device import DeviceSink
from voice_needle.speak.speaker import Speaker

pytestmark = pytest.mark.audio

NOISE = np.random.default_rng(0).integers(-8000, 8000, SAMPLE_RATE_HZ).astype(np.int16)


class Tape:
    """What the tap told."""

    def __init__(self, sink: DeviceSink) -> None:
        self.blocks: list[Samples] = []
        self.times: list[float] = []
        sink.add_tap(self)

    def __call__(self, block: Samples, time_s: float) -> None:
        self.blocks.append(block)
        self.times.append(time_s)

    @property
    def sound(self) -> Samples:
        return np.concatenate(self.blocks)


def contains(recorded: Samples, played: Samples) -> bool:
    """Whether `played` is in the recording, unbroken and bit for bit."""
    return played.tobytes() in recorded.tobytes()


async def recording(pulse: Pulse, source: str, path: Path):  # type: ignore[no-untyped-def]
    recorder = pulse.record(source, path)
    await until(lambda: path.exists() and path.stat().st_size >= 4000)
    return recorder


async def finished(recorder, path: Path) -> Samples:  # type: ignore[no-untyped-def]
    await asyncio.sleep(0.3)  # what the recorder itself still buffers
    recorder.terminate()
    await asyncio.to_thread(recorder.wait, 10)
    return soundfile.read(path, dtype="int16")[0]  # type: ignore[no-any-return]


async def test_what_is_played_is_heard_and_the_tap_tells_it(pulse: Pulse, tmp_path: Path):
    sink = DeviceSink("loudspeaker", latency_ms=80)
    tape = Tape(sink)
    await sink.start()
    recorder = await recording(pulse, "loudspeaker.monitor", tmp_path / "out.wav")
    started = time.monotonic()
    assert await sink.play(NOISE) is True
    await sink.drain()
    took = time.monotonic() - started
    assert sink.heard == sink.queued == len(NOISE)
    await sink.close()
    heard = await finished(recorder, tmp_path / "out.wav")
    assert contains(tape.sound, NOISE)
    if sink.underruns == 0:  # a machine too busy to feed the device in time leaves gaps in it, and says so
        assert contains(heard, NOISE)
    assert took > 1.0  # drained means heard, not handed over


@pytest.mark.parametrize(
    "options", [{"blocking": True}, {"rate_hz": 48_000, "channels": 2}], ids=["blocking", "48kHz stereo"]
)
async def test_other_ways_to_the_device_sound_the_same(pulse: Pulse, tmp_path: Path, options: dict[str, int]):
    sink = DeviceSink("hifi_out", latency_ms=80, **options)
    await sink.start()
    recorder = await recording(pulse, "hifi.monitor", tmp_path / "out.wav")
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)).astype(np.int16)
    await sink.play(tone)
    await sink.drain()
    await sink.close()
    heard = (await finished(recorder, tmp_path / "out.wav")).astype(float)
    middle = heard[np.flatnonzero(np.abs(heard) > 4000)[0] :][1600:14400]
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) * SAMPLE_RATE_HZ / len(middle) == pytest.approx(440, abs=3)
    assert np.abs(middle).max() == pytest.approx(8000, rel=0.1)


async def test_a_flush_is_silence_within_a_block(pulse: Pulse):
    sink = DeviceSink("loudspeaker")
    tape = Tape(sink)
    await sink.start()
    await sink.play(np.tile(NOISE, 2)[: SAMPLE_RATE_HZ * 3 // 2])
    await until(lambda: sink.heard >= 3200)
    at = len(tape.blocks)
    position = sink.flush()
    assert 3200 <= position < SAMPLE_RATE_HZ * 3 // 2
    await sink.drain()
    await until(lambda: len(tape.blocks) >= at + 10)
    await sink.close()
    loud = [i for i, block in enumerate(tape.blocks) if block.any()]
    assert len(tape.blocks[loud[-1]].nonzero()[0]) <= 80  # the last block only fades out
    assert sum(len(block) for block in tape.blocks[loud[0] : loud[-1]]) <= position + 320 * 3


async def test_unplugged_in_an_answer_it_says_so_and_the_next_answer_plays(pulse: Pulse):
    assert pulse.usb is not None
    back = asyncio.Event()
    sink = DeviceSink("usb_speaker", lost_after_ms=300, retry_ms=100, on_back=back.set)
    await sink.start()
    answer = asyncio.ensure_future(sink.play(np.tile(NOISE, 6)))
    await until(lambda: sink.heard >= 3200)
    pulse.usb.unplug("usb")
    try:
        with pytest.raises(DeviceLost, match="usb_speaker"):
            async with asyncio.timeout(20):
                await answer
                await sink.drain()
    finally:
        await asyncio.to_thread(pulse.usb.plug, "usb")
    async with asyncio.timeout(30):
        while True:  # a device that has just come back may go once more before it stays
            await back.wait()
            back.clear()
            before = sink.heard
            try:
                assert await sink.play(NOISE[:3200])
                await sink.drain()
                break
            except DeviceLost:
                continue
    assert sink.heard >= before + 3200
    await sink.close()


async def test_the_speaker_goes_on_while_the_microphone_is_unplugged_and_back(pulse: Pulse):
    assert pulse.usb is not None
    lost, back = asyncio.Event(), asyncio.Event()
    microphone = Microphone(
        "usb_microphone", lost_after_ms=300, retry_ms=100, on_lost=lambda _: lost.set(), on_back=back.set
    )
    listening = asyncio.ensure_future(count(microphone))
    sink = DeviceSink("loudspeaker")
    await sink.start()
    await sink.play(NOISE[:1600])
    await sink.drain()
    pulse.usb.unplug("usb")
    async with asyncio.timeout(40):
        await lost.wait()
        await sink.play(NOISE)  # while it is looked for
        await sink.drain()
        await asyncio.to_thread(pulse.usb.plug, "usb")
        await back.wait()
        assert await sink.play(NOISE[:1600])
        await sink.drain()
    await microphone.close()
    assert await listening > 0
    assert sink.heard == sink.queued == 1600 + len(NOISE) + 1600
    await sink.close()


async def count(microphone: Microphone) -> int:
    return sum([1 async for _ in microphone.frames()])


async def test_a_sentence_is_heard_in_the_room(pulse: Pulse, tmp_path: Path):
    speaker = Speaker(get_voice("espeak"), DeviceSink("loudspeaker"))
    await speaker.start()
    recorder = await recording(pulse, "loudspeaker.monitor", tmp_path / "out.wav")
    spoken = await speaker.say("The kitchen light is on.")
    await speaker.close()
    heard = await finished(recorder, tmp_path / "out.wav")
    assert spoken.said == "The kitchen light is on." and spoken.played_ms > 1000
    loud = np.flatnonzero(np.abs(heard.astype(int)) > 300)
    assert (loud[-1] - loud[0]) / SAMPLE_RATE_HZ > 0.8


async def test_an_unknown_speaker_suggests_the_nearest(pulse: Pulse):
    with pytest.raises(UnknownDevice, match="loudspeaker"):
        await DeviceSink("loudspeeker").start()

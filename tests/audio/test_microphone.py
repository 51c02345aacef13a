"""The microphone on a real PulseAudio daemon: hears, finds devices by name, survives unplugging, reports overruns."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from pulse_daemon import Pulse, until

from voice_needle.audio import Samples
from voice_needle.errors import AudioError, DeviceLost, NoMicrophone, UnknownDevice
from voice_needle.listen.endpoint import Ended, Endpointer
from voice_needle.listen.microphone import Microphone, sound_devices
from voice_needle.listen.vad import make_vad
from voice_needle.sound_devices import find_device

pytestmark = pytest.mark.audio


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("said") / "light.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "Turn on the kitchen light.", "-o", str(path)], check=True)
    return path


async def utterance(microphone: Microphone, pulse: Pulse, speech: Path) -> Ended:
    """Say it into the room, and what the microphone makes of it."""
    vad, endpointer, player = make_vad(), Endpointer(), None
    async with asyncio.timeout(20):
        async for frame in microphone.frames():
            player = player or pulse.play("room", speech)
            for found in endpointer.feed(frame, vad.speech_probability(frame)):
                if isinstance(found, Ended):
                    return found
    raise AssertionError("the microphone ended")


@pytest.mark.parametrize(
    "options",
    [{}, {"blocking": True}, {"rate_hz": 44_100, "channels": 2}, {"rate_hz": 48_000, "channel": 0}],
    ids=["16kHz", "blocking", "44.1kHz stereo", "48kHz one channel"],
)
async def test_speech_in_the_room_becomes_an_utterance(pulse: Pulse, speech: Path, options: dict[str, int]):
    microphone = Microphone("ROOM_micro", **options)  # a part of its name, in any case
    found = await utterance(microphone, pulse, speech)
    await microphone.close()
    said_ms = found.utterance.speech_end_ms - found.utterance.speech_start_ms
    assert 1000 < said_ms < 1800
    assert np.abs(found.utterance.samples.astype(int)).max() > 5000
    assert microphone.overruns == 0


@pytest.mark.parametrize("blocking", [False, True], ids=["callback", "blocking"])
async def test_unplugged_and_plugged_in_again_it_goes_on(pulse: Pulse, speech: Path, blocking: bool):
    assert pulse.usb is not None
    told: list[object] = []
    back = asyncio.Event()
    microphone = Microphone(
        "usb_microphone", lost_after_ms=300, retry_ms=100, blocking=blocking, on_lost=told.append, on_back=back.set
    )
    frames = microphone.frames()
    assert len(await anext(frames)) == 160
    pulse.usb.unplug("usb")
    listening = asyncio.ensure_future(next_after(frames, back))
    async with asyncio.timeout(30):
        await until(lambda: told)
        assert isinstance(told[0], DeviceLost) and "usb_microphone" in str(told[0])
        await asyncio.to_thread(pulse.usb.plug, "usb")
        await listening
        assert len(told) == 1
        player = pulse.usb.play("usb", speech)  # and it hears again, in the same iterator
        while np.abs((await anext(frames)).astype(int)).max() < 1000:
            pass
    await asyncio.to_thread(player.wait, 10)
    await frames.aclose()


async def next_after(frames, back: asyncio.Event) -> Samples:  # type: ignore[no-untyped-def]
    """The first frame after the device came back."""
    async for frame in frames:
        if back.is_set():
            return frame  # type: ignore[no-any-return]
    raise AssertionError("the microphone ended")


async def test_sound_that_nobody_takes_is_counted_not_kept(pulse: Pulse):
    microphone = Microphone("room_microphone", ring_ms=100)
    frames = microphone.frames()
    await anext(frames)
    time.sleep(0.6)  # noqa: ASYNC251 (the loop stands still, as under a blocking call)
    async with asyncio.timeout(5):
        while not microphone.overruns:
            await anext(frames)
    await frames.aclose()
    assert 10 < microphone.overruns < 60


async def test_frames_carry_the_time_of_the_device(pulse: Pulse):
    microphone = Microphone("room_microphone")
    frames = microphone.frames()
    times = []
    async for _ in frames:
        times.append(microphone.frame_time_s)
        if len(times) == 100:
            break
    assert microphone.stream is not None
    now = microphone.stream.time_s
    await frames.aclose()
    assert -0.05 < now - times[-1] < 0.5
    assert np.diff(times).mean() == pytest.approx(0.01, rel=0.2)


async def test_an_unknown_name_suggests_the_nearest(pulse: Pulse):
    with pytest.raises(UnknownDevice, match="room_microphone") as caught:
        await Microphone("room_microfone").open()
    assert caught.value.fix == "voice-needle devices"
    with pytest.raises(UnknownDevice, match="there are"):
        await Microphone(99).open()


async def test_a_rate_that_the_device_does_not_take_is_a_sentence(pulse: Pulse):
    with pytest.raises(AudioError, match="cannot be opened") as caught:
        await Microphone("room_microphone", channels=1, rate_hz=9_000_000).open()
    assert "devices" in caught.value.fix


def test_devices_are_listed_and_found(pulse: Pulse):
    names = {entry["name"] for entry in sound_devices()}
    assert {"room_microphone", "loudspeaker", "hifi_in"} <= names
    device = find_device("hifi_in", "input")
    assert find_device(device.index, "input") == find_device(str(device.index), "input") == device
    assert find_device(None, "output").outputs > 0
    assert find_device("default", "input").inputs > 0


def test_without_any_device_it_says_so(pulse: Pulse, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("voice_needle.sound_devices.list_devices", list)
    with pytest.raises(NoMicrophone):
        find_device(None, "input")

"""The whole assistant on real sound devices: what it says comes back into its microphone, and a person says stop over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from voices import speak

from voice_needle.assembly import open_assistant, open_registry
from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.events import AnswerEnded, BargedIn, Event

pytestmark = pytest.mark.audio

STORY = (
    "Here is the news of the house. The washing machine has finished its programme, and the dryer will be ready soon. "
    "Yesterday the heating used eleven kilowatt hours, which is a little less than on the day before. "
    "There was one delivery at the front door in the afternoon, and nobody was at home to take it."
)


async def until(done: Callable[[], bool], seconds: float, what: str) -> None:
    for _ in range(round(seconds * 50)):
        if done():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{what} did not happen within {seconds:.0f} s")


async def test_it_does_not_hear_itself_and_stops_when_told(pulse, tmp_path: Path) -> None:
    pulse.load("module-loopback", "source=loudspeaker.monitor", "sink=room", "latency_msec=1", "adjust_time=0")
    default = Config(data_dir=tmp_path)
    config = replace(
        default,
        listen=replace(default.listen, device="room_microphone"),
        speak=replace(default.speak, device="loudspeaker", engine="espeak", earcons=False),
        transcribe=replace(default.transcribe, engine="sphinx"),
        route=replace(default.route, router="templates"),
    )
    said = np.concatenate([speak("stop", "slt"), np.zeros(1_600, np.int16)])
    soundfile.write(tmp_path / "stop.wav", said, 16_000)
    events: list[Event] = []
    async with open_assistant(config, RealClock(), open_registry(config, ["desk"]), emit=events.append) as assistant:
        running = asyncio.ensure_future(assistant.run())
        try:
            await until(lambda: assistant.tested, 30, "the echo self-test")
            assert assistant.duplex is not None
            assert assistant.duplex.mode == "full", assistant.duplex
            assert assistant.duplex.leak_db is not None and assistant.duplex.leak_db > -20.0
            telling = asyncio.ensure_future(assistant.announce(STORY, tone=""))
            await until(lambda: "programme" in assistant.speaker.so_far.said, 30, "the first sentence")
            assert not [event for event in events if isinstance(event, BargedIn)]
            process = pulse.play("room", tmp_path / "stop.wav")
            await until(lambda: telling.done() or not assistant.speaker.speaking, 60, "the end of the story")
            process.wait(5)
            if dry := assistant.speaker.sink.underruns + assistant.source.overruns:
                pytest.skip(f"this machine is too busy for sound in real time: {dry} gaps")
            await until(telling.done, 5, "the end of the turn")
            stopped = [event for event in events if isinstance(event, BargedIn)]
            assert [event.kind for event in stopped] == ["stop"]
            ended = [event for event in events if isinstance(event, AnswerEnded)][-1]
            assert "washing machine" in ended.said and "nobody was at home" in ended.unsaid
        finally:
            running.cancel()
            await asyncio.wait([running])

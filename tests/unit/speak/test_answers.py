"""The speaker on the scripted clock: sentences in order, silence within a block, and the truth about what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_needle.audio import BLOCK_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.clock import ScriptedClock
from voice_needle.errors import AudioError, ConfigError, EngineFailed
from voice_needle.speak.sinks import FileSink, NullSink
from voice_needle.speak.speaker import Speaker, Spoken


class Metronome:
    """A voice with 100 ms for each letter, its sentences at levels 1000, 2000, ..."""

    name = "metronome"

    def __init__(self, failures: int = 0) -> None:
        self.sentences: list[str] = []
        self.closed_early = 0
        self.failures = failures

    async def start(self) -> None: ...

    async def synthesise(self, sentence: str) -> AsyncGenerator[Samples, None]:
        if self.failures:
            self.failures -= 1
            raise EngineFailed("it died")
        self.sentences.append(sentence)
        finished = False
        try:
            for _ in sentence:
                yield np.full(1600, 1000 * len(self.sentences), np.int16)
            finished = True
        finally:
            self.closed_early += not finished

    async def close(self) -> None: ...


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock(datetime(2026, 1, 1, tzinfo=UTC))


async def test_an_answer_is_said_whole_and_in_order(clock: ScriptedClock, tmp_path: Path):
    sink = FileSink(tmp_path / "out.wav", clock=clock)
    speaker = Speaker(Metronome(), sink)
    await speaker.start()
    await clock.advance(1.0)
    started: list[float] = []
    task = asyncio.create_task(speaker.say("Abcd. Efg.", on_start=lambda: started.append(clock.monotonic())))
    await clock.advance(0.5)
    assert speaker.speaking
    await clock.advance(1.5)
    assert await task == Spoken("Abcd. Efg.", "", 900.0)
    assert not speaker.speaking and started == [1.0]
    await speaker.close()
    sound, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    at = np.flatnonzero(sound)
    assert at[0] == pytest.approx(SAMPLE_RATE_HZ, abs=BLOCK_SAMPLES)  # silence before: aligned to the clock
    assert sound[at].tolist() == [1000] * 8000 + [2000] * 6400
    assert len(sound) == pytest.approx(3.0 * SAMPLE_RATE_HZ, abs=BLOCK_SAMPLES)


async def test_stopped_it_is_silent_within_a_block_and_knows_its_words(clock: ScriptedClock):
    sink, voice = NullSink(clock=clock), Metronome()
    blocks: list[tuple[Samples, float]] = []
    sink.add_tap(lambda block, time_s: blocks.append((block, time_s)))
    speaker = Speaker(voice, sink)
    await speaker.start()
    task = asyncio.create_task(speaker.say("One two. Three four five."))
    await clock.advance(0.8 + 0.75)  # the first sentence, then "Three" and a half
    spoken = speaker.stop()
    assert (spoken.said, spoken.unsaid) == ("One two. Three", "four five.")
    assert spoken.played_ms == pytest.approx(1550, abs=30)
    stopped_at = len(blocks)
    await clock.advance(1.0)
    assert await task == spoken
    assert not any(block.any() for block, _ in blocks[stopped_at + 2 :])
    assert voice.closed_early <= 1 and not speaker.speaking


async def test_cancelled_it_falls_silent_and_the_next_answer_is_whole(clock: ScriptedClock):
    speaker = Speaker(Metronome(), NullSink(clock=clock))
    await speaker.start()
    task = asyncio.create_task(speaker.say("A rather long sentence that nobody will hear to its end."))
    await clock.advance(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert speaker.stop().said.startswith("A rather")
    assert not speaker.speaking
    task = asyncio.create_task(speaker.say("Ok then."))
    await clock.advance(2.0)
    assert (await task).said == "Ok then."


async def test_paused_it_waits_and_resumed_it_ends(clock: ScriptedClock):
    speaker = Speaker(Metronome(), NullSink(clock=clock))
    await speaker.start()
    task = asyncio.create_task(speaker.say("Abcdefgh."))
    await clock.advance(0.3)
    speaker.pause()
    await clock.advance(5.0)
    assert not task.done() and speaker.speaking
    speaker.resume()
    await clock.advance(1.0)
    assert (await task).unsaid == ""


async def test_the_tap_gets_what_was_played_ducking_included(clock: ScriptedClock):
    sink = NullSink(clock=clock)
    blocks: list[tuple[Samples, float]] = []
    sink.add_tap(lambda block, time_s: blocks.append((block, time_s)))
    speaker = Speaker(Metronome(), sink)
    await speaker.start()
    task = asyncio.create_task(speaker.say("Abcdefghij."))
    await clock.advance(0.2)
    speaker.duck(20.0)
    await clock.advance(0.2)
    ducked = blocks[-1][0]
    assert (ducked == 100).all()
    assert [round(time_s, 3) for _, time_s in blocks[:3]] == [0.0, 0.02, 0.04]
    await clock.advance(2.0)
    await task


async def test_a_voice_that_dies_before_its_first_sound_is_tried_once_more(clock: ScriptedClock):
    speaker = Speaker(Metronome(failures=1), NullSink(clock=clock))
    await speaker.start()
    task = asyncio.create_task(speaker.say("Abc."))
    await clock.advance(1.0)
    assert (await task).said == "Abc."
    speaker = Speaker(Metronome(failures=2), NullSink(clock=clock))
    await speaker.start()
    with pytest.raises(EngineFailed):
        await speaker.say("Abc.")


async def test_more_than_fits_the_queue_waits_and_is_not_lost(clock: ScriptedClock, tmp_path: Path):
    sink = FileSink(tmp_path / "out.wav", clock=clock, queue_ms=100)
    await sink.start()
    samples = np.arange(1, 16001).astype(np.int16)
    task = asyncio.create_task(sink.play(samples))
    await clock.advance(0.1)
    assert not task.done()
    await clock.advance(1.5)
    assert await task is True
    await sink.drain()
    await sink.close()
    sound, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert np.array_equal(sound[np.flatnonzero(sound)], samples)


async def test_an_output_that_cannot_be_written_says_so(clock: ScriptedClock, tmp_path: Path):
    with pytest.raises(AudioError, match="cannot be written"):
        FileSink(tmp_path / "no" / "such.wav", clock=clock)


async def test_a_tone_is_heard_and_an_unknown_one_refused(clock: ScriptedClock):
    sink = NullSink(clock=clock)
    blocks: list[Samples] = []
    sink.add_tap(lambda block, _: blocks.append(block))
    speaker = Speaker(Metronome(), sink)
    await speaker.start()
    task = asyncio.create_task(speaker.tone("done"))
    await clock.advance(0.5)
    await task
    assert np.abs(np.concatenate(blocks)).max() > 3000
    with pytest.raises(ConfigError, match="listening, done, error, attention"):
        await speaker.tone("fanfare")

"""The listening half of a turn: the recogniser is touched by its own thread only, and partial words outlive what came between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voice_needle.config import Config
from voice_needle.events import Decision, Heard, Outcome, Transcript, Utterance
from voice_needle.hearing import Listener
from voice_needle.turn import Scope, Turn
from voice_needle.workers import Workers

BLOCK = np.ones(3_200, np.int16)


@dataclass
class FakeStream:
    recogniser: FakeRecogniser
    fed: int = 0
    ended: bool = False

    def feed(self, samples: np.ndarray) -> None:
        assert not self.ended
        self.recogniser.touched()
        self.fed += len(samples)

    def partial(self) -> Transcript:
        assert not self.ended
        self.recogniser.touched()
        return Transcript(f"{self.fed // len(BLOCK)} blocks", final=False)


@dataclass
class FakeRecogniser:
    streams_too: bool = True
    threads: set[str] = field(default_factory=set)
    streams: list[FakeStream] = field(default_factory=list)
    name = "fake"

    def touched(self) -> None:
        self.threads.add(threading.current_thread().name)

    def stream(self) -> FakeStream | None:
        self.touched()
        self._end_all()
        if not self.streams_too:
            return None
        self.streams.append(FakeStream(self))
        return self.streams[-1]

    def transcribe(self, utterance: Utterance) -> Transcript:
        self.touched()
        self._end_all()
        return Transcript("all of it")

    def _end_all(self) -> None:
        for stream in self.streams:
            stream.ended = True


def listener(recogniser: FakeRecogniser, heard: list[str], about_us: str = "") -> Listener:
    """about_us: the words that are a request; all others are declined."""

    async def decide(transcript: Transcript, speaking: bool) -> Decision:
        return Decision(outcome=Outcome.ACT if transcript.text == about_us else Outcome.DECLINE)

    conversation = SimpleNamespace(decide=decide, awaits_reply=lambda: False, tools=dict)
    barge_in = SimpleNamespace(words=lambda *_, **__: None)
    endpointer = SimpleNamespace(expect_more=lambda ms: None, end_after=lambda ms: None)

    def spawn(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.ensure_future(work)

    def emit(kind: type, turn: Turn, **values: Any) -> None:
        if kind is Heard:
            heard.append(values["transcript"].text)

    return Listener(recogniser, conversation, endpointer, barge_in, Workers(), Config(), lambda: False, spawn, emit)  # type: ignore[arg-type]


async def feed(ear: Listener, blocks: int = 1, silence_ms: float = 0.0) -> None:
    for _ in range(blocks):
        ear.feed(BLOCK, silence_ms)
        for _ in range(20):
            await asyncio.sleep(0.002)
            if ear.hearing is not None and ear.hearing.partial is not None and ear.hearing.partial.done():
                break


async def test_only_the_recogniser_s_thread_touches_it() -> None:
    recogniser, heard = FakeRecogniser(), list[str]()
    ear = listener(recogniser, heard)
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    await feed(ear, 3)
    await feed(ear, 1, silence_ms=400.0)
    hearing = ear.hearing
    assert hearing is not None and hearing.ahead is not None
    await hearing.ahead
    ear.end()
    ear.begin(Turn(Scope(2), started_s=0.0), 900.0)
    await feed(ear)
    assert {name.rpartition("_")[0] for name in recogniser.threads} == {"recogniser"}
    ear.workers.close()


async def test_partial_words_go_on_after_another_utterance_was_read() -> None:
    recogniser, heard = FakeRecogniser(), list[str]()
    ear = listener(recogniser, heard)
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    await feed(ear, 2)
    recogniser.transcribe(Utterance(BLOCK, 0.0, 0.0, 100.0))  # the utterance before, read once more: it ends our stream
    await feed(ear, 2)
    assert heard == ["1 blocks", "2 blocks", "3 blocks", "4 blocks"]
    ear.workers.close()


async def test_speech_that_goes_on_while_a_pause_is_read_loses_no_words() -> None:
    recogniser, heard = FakeRecogniser(), list[str]()
    ear = listener(recogniser, heard)
    slow = threading.Event()
    feed_block = FakeStream.feed

    def feed_slowly(stream: FakeStream, samples: np.ndarray) -> None:
        slow.wait(0.05)
        feed_block(stream, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeStream, "feed", feed_slowly)
        ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
        for block in range(24):  # the pause begins and ends while partial words are still being looked for
            ear.feed(BLOCK, 400.0 if block % 3 == 2 else 0.0)
            await asyncio.sleep(0.01)
        hearing = ear.hearing
        assert hearing is not None and hearing.partial is not None
        slow.set()
        await asyncio.wait([hearing.partial])
        assert hearing.partial.exception() is None
        await feed(ear)
    assert heard[-1] == "25 blocks"
    ear.workers.close()


async def test_an_engine_without_partial_words_is_asked_once() -> None:
    recogniser, heard = FakeRecogniser(streams_too=False), list[str]()
    ear = listener(recogniser, heard)
    asked = []
    stream = recogniser.stream
    recogniser.stream = lambda: asked.append(1) or stream()  # type: ignore[method-assign,func-returns-value]
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    await feed(ear, 4)
    assert asked == [1] and not heard
    ear.workers.close()


async def in_pauses(ear: Listener, sounds: int) -> list[int]:
    """Two blocks (0.4 s) of sound, a pause (0.2 s), and so on: after which of them the pause was read."""
    read = []
    for sound in range(sounds):
        await feed(ear, 2)
        await feed(ear, 1, silence_ms=200.0)
        hearing = ear.hearing
        assert hearing is not None
        if hearing.ahead is not None:
            await hearing.ahead
            read.append(sound)
    return read


async def test_the_pauses_of_music_are_read_no_more_and_what_interrupts_it_is_listened_for() -> None:
    recogniser, heard = FakeRecogniser(), list[str]()
    ear = listener(recogniser, heard)
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    assert ear.attending
    assert await in_pauses(ear, 15) == list(range(9))  # 6 s
    assert not ear.attending and len(recogniser.streams) == 10
    blocks = recogniser.streams[-1].fed // len(BLOCK)
    recogniser.transcribe(Utterance(BLOCK, 0.0, 0.0, 100.0))  # what is read meanwhile ends our stream
    await feed(ear, 2)
    assert recogniser.streams[-1].fed == 2 * len(BLOCK) and blocks >= 15  # it went on from there
    ear.workers.close()


async def test_a_long_request_keeps_being_read_in_its_pauses() -> None:
    recogniser, heard = FakeRecogniser(), list[str]()
    ear = listener(recogniser, heard, about_us="all of it")
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    assert await in_pauses(ear, 15) == list(range(15)) and ear.attending
    ear.workers.close()


@pytest.mark.parametrize(
    ("cut", "begins_ms", "foreign"), [(True, 9_000.0, True), (True, 9_400.0, False), (False, 9_000.0, False)]
)
async def test_music_that_was_cut_goes_on_as_music(cut: bool, begins_ms: float, foreign: bool) -> None:
    ear = listener(FakeRecogniser(), list[str]())
    ear.begin(Turn(Scope(1), started_s=0.0), 0.0)
    await in_pauses(ear, 15)
    ear.end(Utterance(np.ones(144_000, np.int16), 0.0, 0.0, 9_000.0, cut=cut))
    ear.begin(Turn(Scope(2), started_s=9.0), begins_ms)
    assert ear.attending is not foreign
    await in_pauses(ear, 2)
    assert ear.hearing is not None and (ear.hearing.ahead is None) is foreign
    ear.workers.close()

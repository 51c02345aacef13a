"""The listening half of a turn: words while the user still speaks, and the whole utterance read ahead in every pause.

Reading ahead is what makes the answer quick: the words and the decision are ready when the silence is long enough, and the
decision says how long that is (semantic endpointing).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from voice_needle.audio import Samples, to_ms
from voice_needle.barge_in import BargeIn, Verdict, judge
from voice_needle.config import Config
from voice_needle.conversation import Conversation
from voice_needle.events import Decided, Decision, DialogueAct, Event, Heard, Outcome, Transcript, Utterance
from voice_needle.listen.endpoint import Endpointer
from voice_needle.readings import final_reading
from voice_needle.transcribe.engine import Recogniser, Stream
from voice_needle.turn import Turn, TurnState
from voice_needle.workers import Workers

T = TypeVar("T")

# After so long an utterance of which no pause was about the tools is taken for music or talk: reading each of its pauses from the
# beginning is more than a small board can do, and a timer that is due would wait for its end.
FOREIGN_MS = 6_000.0


class Spawn(Protocol):
    """Runs work as a task of the assistant's."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> asyncio.Task[T]: ...


class Emit(Protocol):
    """Tells an event of a turn."""

    def __call__(self, kind: type[Event], turn: Turn, **values: object) -> None: ...


@dataclass
class Ahead:
    """What was read while it was still open whether the utterance is over: final words and the decision for them."""

    transcript: Transcript
    decision: Decision
    elapsed_ms: float = 0.0  # what it took, in real time


@dataclass
class Hearing:
    """An utterance that is still going on: its turn, its sound, and what is known of its words so far."""

    turn: Turn
    stream: Stream | None = None  # opened, fed and asked in the recogniser's thread only
    sound: list[Samples] = field(default_factory=list)
    given: int = 0  # how many of `sound` the stream has been given
    fed_ms: float = 0.0
    asked_ms: float = 0.0  # when partial words were last asked for, in sound fed
    partial: asyncio.Task[None] | None = None
    words: str = ""
    stop_words: str = ""  # partial words that were a stop; those after them may be our own voice
    unfinished: bool = False  # those words: more must follow
    reply: bool = False  # it began over our voice or soon after it
    meant: bool = False  # what was read in a pause was about the tools
    foreign: bool = False  # long, and nothing in it was: its pauses are no longer read, only its end
    ahead: asyncio.Task[Ahead] | None = None  # of this pause; gone when speech goes on


class Listener:
    """Follows one utterance at a time. speaking: whether our own voice is to be heard meanwhile. scripted: on a scripted clock."""

    def __init__(
        self,
        recogniser: Recogniser,
        conversation: Conversation,
        endpointer: Endpointer,
        barge_in: BargeIn,
        workers: Workers,
        config: Config,
        speaking: Callable[[], bool],
        spawn: Spawn,
        emit: Emit,
        scripted: bool = False,
    ) -> None:
        self.recogniser, self.conversation, self.endpointer = recogniser, conversation, endpointer
        self.barge_in, self.workers, self.config = barge_in, workers, config
        self._speaking, self._spawn, self._emit, self._scripted = speaking, spawn, emit, scripted
        self._streams = True  # the recogniser has partial words, as far as is known
        self.hearing: Hearing | None = None
        self._cut_ms = -1.0  # where a foreign utterance was cut

    @property
    def attending(self) -> bool:
        """Somebody speaks who may mean us."""
        return self.hearing is not None and not self.hearing.foreign

    def begin(self, turn: Turn, start_ms: float) -> None:
        """Somebody began to speak, or what was cut goes on. start_ms: position of its first sample."""
        reply = self._speaking() or self.conversation.awaits_reply()
        self.hearing = Hearing(turn, reply=reply, foreign=start_ms <= self._cut_ms)

    def end(self, utterance: Utterance | None = None) -> Hearing | None:
        """The utterance is over: what was heard of it, no longer followed. None where it was too short to be one."""
        hearing, self.hearing = self.hearing, None
        if hearing is not None and utterance is not None:
            goes_on = hearing.foreign and utterance.cut
            self._cut_ms = utterance.start_ms + to_ms(len(utterance.samples)) if goes_on else -1.0
        return hearing

    def feed(self, samples: Samples, silence_ms: float) -> None:
        """More of the running utterance; silence_ms: since the last speech in it."""
        hearing = self.hearing
        if hearing is None:
            return
        hearing.sound.append(samples)
        hearing.fed_ms += to_ms(len(samples))
        hearing.foreign = hearing.foreign or (hearing.fed_ms >= FOREIGN_MS and not hearing.meant)
        if silence_ms == 0.0:
            hearing.ahead = None  # more was said: what was read in the pause is out of date
        elif hearing.ahead is None and silence_ms >= self.config.listen.read_ahead_ms and not hearing.foreign:
            hearing.ahead = self._spawn(self._read_ahead(hearing))
        every = self.config.transcribe.partials_ms
        idle = hearing.partial is None or hearing.partial.done()
        if every and idle and hearing.ahead is None and hearing.fed_ms - hearing.asked_ms >= every:
            hearing.asked_ms = hearing.fed_ms
            hearing.partial = self._spawn(self._listen_along(hearing))

    async def _listen_along(self, hearing: Hearing) -> None:
        """Partial words while the user speaks: they tell whether more must follow, and whether an interruption is meant."""
        if not self._streams:
            return
        transcript = await self.workers.run("recogniser", self._partial, hearing, tuple(hearing.sound))
        if transcript is None or self.hearing is not hearing or transcript.text in ("", hearing.words):
            return
        decision = await self.conversation.decide(transcript, self._speaking())
        if self.hearing is not hearing or hearing.ahead not in (None, asyncio.current_task()):
            return
        hearing.words, hearing.unfinished = transcript.text, not decision.complete
        if decision.act in (DialogueAct.STOP, DialogueAct.CANCEL):
            hearing.stop_words = transcript.text
        self._emit(Heard, hearing.turn, transcript=transcript, elapsed_ms=0.0)
        self.barge_in.words(transcript, decision, final=False)

    def _partial(self, hearing: Hearing, heard: Sequence[Samples]) -> Transcript | None:
        """In the recogniser's thread: the words of what was heard so far; None from an engine that only reads whole utterances.

        A stream that another utterance has ended meanwhile is begun again: an interruption must not go unheard for that. In music or
        foreign talk it goes on from there, listening for what interrupts that, too.
        """
        if hearing.stream is None or hearing.stream.ended:
            hearing.stream = self.recogniser.stream()
            hearing.given = hearing.given if hearing.foreign else 0
        if hearing.stream is None:
            self._streams = False
            return None
        for samples in heard[hearing.given :]:
            hearing.stream.feed(samples)
        hearing.given = len(heard)
        return hearing.stream.partial()

    def _whole(self, hearing: Hearing, utterance: Utterance) -> Transcript:
        """In the recogniser's thread. It reads one thing at a time: more speech opens another stream."""
        hearing.stream = None
        return self.recogniser.transcribe(utterance)

    async def _read_ahead(self, hearing: Hearing) -> Ahead:
        """In a pause, read what was said as if it were all. If it is, the answer is ready; if not, it is thrown away."""
        if hearing.partial is not None:
            await asyncio.wait([hearing.partial])
        await self._listen_along(hearing)  # the last words, too
        sound, started = np.concatenate(hearing.sound), time.perf_counter()
        utterance = Utterance(sound, 0.0, 0.0, to_ms(len(sound)), reply=hearing.reply)
        transcript = await self.workers.run("recogniser", self._whole, hearing, utterance)
        transcript, decision = await self._decide(transcript)
        hearing.meant = hearing.meant or judge(transcript, decision) is not Verdict.RESUME
        if self.hearing is hearing and hearing.ahead is asyncio.current_task():
            listen = self.config.listen
            if hearing.unfinished:  # a grammar reads half a sentence as some whole one: "to" as "two"
                whole = bool(decision.calls) and decision.complete
                self.endpointer.expect_more(1.5 * listen.end_silence_ms if whole else listen.incomplete_silence_ms)
            elif transcript.refused and transcript.text and not hearing.reply:
                self.endpointer.expect_more(
                    listen.incomplete_silence_ms
                )  # nothing is lost by it, and half a sentence often is refused
            else:
                self._wait_for_more(decision)
            self.barge_in.words(replace(transcript, final=False), decision, final=False)
        return Ahead(transcript, decision, (time.perf_counter() - started) * 1000)

    def _wait_for_more(self, decision: Decision) -> None:
        """Semantic endpointing: a whole request needs little silence after it, half of one needs more."""
        listen = self.config.listen
        if not decision.complete:
            self.endpointer.expect_more(listen.incomplete_silence_ms)
        elif decision.outcome is Outcome.ACT or decision.act is not None:
            self.endpointer.end_after(listen.complete_silence_ms)
        elif decision.calls or (decision.question and decision.question.kind in ("missing", "out_of_range")):
            self.endpointer.expect_more(1.5 * listen.end_silence_ms)  # what makes it certain may still be coming

    async def understand(self, hearing: Hearing, utterance: Utterance) -> tuple[Transcript, Decision]:
        """Words and decision: read ahead in the pause that ended the utterance, or read now."""
        turn = hearing.turn
        turn.state = TurnState.TRANSCRIBING
        started = time.perf_counter()
        ahead = await hearing.ahead if hearing.ahead is not None else None
        if ahead is not None and ahead.transcript.refused and ahead.transcript.text and not self._speaking():
            ahead = None  # the pause was waited out, and all of it may be clearer than its beginning
        if ahead is not None:
            transcript = ahead.transcript
        else:
            utterance = replace(utterance, reply=hearing.reply)
            transcript = await self.workers.run("recogniser", self.recogniser.transcribe, utterance)
        turn.transcript = transcript
        turn.ms["transcribe"] = (time.perf_counter() - started) * 1000  # what of it was waited for after the end
        if ahead is not None and self._scripted:  # time stood still meanwhile: count what the pause could not hide
            hidden_ms = turn.silence_ms - self.config.listen.read_ahead_ms
            turn.ms["transcribe"] += max(0.0, ahead.elapsed_ms - hidden_ms)
        self._emit(Heard, turn, transcript=transcript, elapsed_ms=turn.ms["transcribe"])
        turn.state = TurnState.DECIDING
        started = time.perf_counter()
        if ahead is not None:
            decision = ahead.decision
        else:
            transcript, decision = await self._decide(transcript)
            turn.transcript = transcript
        turn.ms["route"] = (time.perf_counter() - started) * 1000
        self._emit(Decided, turn, decision=decision, elapsed_ms=turn.ms["route"])
        return transcript, decision

    async def _decide(self, transcript: Transcript) -> tuple[Transcript, Decision]:
        """The decision for final words, and the reading of them that it is for."""

        async def decide(read: Transcript) -> Decision:
            return await self.conversation.decide(read, self._speaking())

        return await final_reading(transcript, decide, self.conversation.tools())

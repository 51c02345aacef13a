"""The assistant: five stages wired together, in the order of the path of sound.

    listen      frames -> speech or not -> one utterance        (source, vad, endpointer)
    transcribe  utterance -> words, partial while it lasts       (recogniser, in its own thread)
    route       words -> a decision                              (conversation.decide, in the router's thread)
    dispatch    decision -> calls -> results                     (conversation.respond, through policy and ledger)
    speak       results -> sound                                 (speaker)

One loop owns all state. The microphone is never closed: what the user says while a turn runs is a turn of its own, and
`barge_in` decides what it does to the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from voice_needle.audio import FRAME_MS, FRAME_SAMPLES, Samples
from voice_needle.barge_in import BargeIn, Verdict, has_floor
from voice_needle.clock import Clock, ScriptedClock
from voice_needle.config import Config
from voice_needle.conversation import Answer, Conversation
from voice_needle.dispatch.ledger import Entry
from voice_needle.dispatch.timers import Ring
from voice_needle.errors import VoiceNeedleError
from voice_needle.events import (
    AnswerEnded,
    AnswerStarted,
    Decision,
    Event,
    Fault,
    SpeechEnded,
    SpeechStarted,
    TimerRang,
    Transcript,
    TurnCancelled,
    Utterance,
)
from voice_needle.hearing import Hearing, Listener
from voice_needle.listen import echo_test
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.endpoint import Continued, Discarded, Ended, Endpointer, Onset
from voice_needle.listen.engine import Source, Vad
from voice_needle.listen.wake import AlwaysOpen, Ear, Wake
from voice_needle.readings import second_reading
from voice_needle.speak.speaker import Speaker, Spoken
from voice_needle.trace import Trace
from voice_needle.transcribe.engine import Recogniser
from voice_needle.turn import Scope, StaleTurn, Turn, TurnState
from voice_needle.workers import Workers

log = logging.getLogger(__name__)
T = TypeVar("T")

LAST_SILENCE_MS = 1_000  # after a file's end, with nothing going on any more


@dataclass
class Parts:
    """What an assistant is made of; `assembly` makes them, tests make their own."""

    source: Source
    vad: Vad
    endpointer: Endpointer
    recogniser: Recogniser
    conversation: Conversation
    speaker: Speaker
    workers: Workers
    clock: Clock
    echo: EchoCanceller | None = None  # where the source can hear the speaker
    no_echo_reason: str = ""  # why there is none although it can
    wake: Wake = field(default_factory=AlwaysOpen)


class Assistant:
    """Runs until its source ends. emit: gets every event, on the loop."""

    def __init__(
        self, parts: Parts, config: Config, trace: Trace | None = None, emit: Callable[[Event], None] | None = None
    ) -> None:
        self.parts, self.config = parts, config
        self.source, self.vad, self.endpointer = parts.source, parts.vad, parts.endpointer
        self.recogniser, self.conversation, self.speaker = parts.recogniser, parts.conversation, parts.speaker
        self.workers, self.clock, self.wake = parts.workers, parts.clock, parts.wake
        self.trace = trace or Trace()
        self.emit = emit or (lambda event: None)
        self.progress: Callable[[], None] = lambda: None  # called with every frame: a watchdog's food
        chosen = config.barge_in.mode
        self.barge_in = BargeIn(
            self.speaker, self.floor, config.barge_in, self.clock, self.emit,
            mode="full" if chosen == "auto" else chosen, echo=parts.echo,
        )  # fmt: skip
        self.duplex: echo_test.Verdict | None = None  # of the echo self-test, once it has run
        self.tested = False  # it has run, or is not wanted
        if parts.echo is not None:
            self.speaker.add_tap(parts.echo.tap)
        self.turns = 0  # so many were begun
        self.listener = Listener(
            parts.recogniser, parts.conversation, parts.endpointer, self.barge_in, parts.workers, config,
            self.speaking, self._spawn, self._emit, isinstance(self.clock, ScriptedClock),
        )  # fmt: skip
        self._tasks: set[asyncio.Task[Any]] = set()
        self.current: Turn | None = None  # the turn that acts or speaks
        self._latest: Turn | None = None  # the last that was said

    def speaking(self) -> bool:
        """Our own voice is to be heard."""
        return self.speaker.speaking

    def floor(self) -> Turn | None:
        """The turn that may be interrupted."""
        return self.current if has_floor(self.current) else None

    # --- listen ---

    async def run(self) -> None:
        """Listen until the source ends, then finish what was begun. Errors: those of opening the source or speaker."""
        ended: asyncio.Event | None = getattr(self.source, "ended", None)  # a file's own sound is over; silence follows
        silent_frames = 0
        try:
            frames = self.source.frames()
            if self.config.barge_in.mode == "auto" and self.parts.echo is not None:
                await self._test_echo(frames)
            self.tested = True
            async for frame in frames:
                self.hear(frame)
                if isinstance(self.clock, ScriptedClock):
                    await self.workers.quiet()  # scripted time stands still while somebody thinks
                if ended is not None and ended.is_set():
                    silent_frames = silent_frames + 1 if self.idle else 0
                    if silent_frames * FRAME_MS >= LAST_SILENCE_MS:
                        break
            for found in self.endpointer.end_now():
                self._found(found)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _test_echo(self, frames: AsyncIterator[Samples]) -> None:
        """Play a chirp, listen to it, and choose how far the user may interrupt. The canceller learns the room from it."""
        noise, heard = [await self._tested(frames) for _ in range(20)], []
        echo = self.parts.echo
        began: list[tuple[float, int]] = []  # when the chirp's first sample was played, and where on the canceller's time line

        def first(block: Samples, time_s: float) -> None:
            if not began and block.any():
                began.append((time_s, echo.played_to - len(block) if echo is not None else 0))

        self.speaker.add_tap(first)
        sound = echo_test.chirp()
        playing = asyncio.ensure_future(self.speaker.sink.play(sound))
        wanted_s = (echo_test.CHIRP_MS + echo_test.LISTEN_MS) / 1000.0
        for _ in range(round((1000.0 * wanted_s + echo_test.SLOWEST_MS) / FRAME_MS)):
            heard.append(await self._tested(frames))
            if began and heard[-1][0] >= began[0][0] + wanted_s:  # devices may hold back a second of sound
                break
        await playing
        self.speaker.sink.remove_tap(first)
        start_s, start = began[0] if began else (float("inf"), 0)
        lead = [each for each in heard if each[0] >= start_s - FRAME_MS / 2000.0]
        chirped = np.concatenate([np.zeros(0, np.int16), *(frame for _, _, frame in lead)])
        self.duplex = echo_test.judge(
            chirped, np.concatenate([frame for _, _, frame in noise]),
            reference=bool(began), canceller=echo is not None and echo.subtracts,
        )  # fmt: skip
        self.barge_in.mode = self.duplex.mode
        if echo is not None and self.duplex.delay_ms is not None:
            echo.rehearse(echo_test.impulse_response(chirped), lead[0][1] - start)
        log.info("duplex: %s, because %s", self.duplex.mode, self.duplex.why)
        if self.duplex.degraded:
            at_ms = self.clock.monotonic() * 1000
            fix = self.parts.no_echo_reason or "voice-needle doctor"
            self.emit(Fault(0, at_ms, f"HalfDuplex ({self.duplex.mode}: {self.duplex.why})", self.duplex.spoken, fix))
            self._spawn(self.announce(self.duplex.spoken, tone=""))

    async def _tested(self, frames: AsyncIterator[Samples]) -> tuple[float, int, Samples]:
        """One more frame, when it was heard, and where on the canceller's time line; past everything but the canceller."""
        frame = await anext(frames)
        time_s = float(getattr(self.source, "frame_time_s", 0.0))
        if self.parts.echo is None:
            return time_s, 0, frame
        self.parts.echo.process(frame, time_s)
        return time_s, self.parts.echo.heard_to - FRAME_SAMPLES, frame

    @property
    def idle(self) -> bool:
        """Nobody speaks and nothing is being done."""
        return self.listener.hearing is None and not self._tasks

    def hear(self, frame: Samples) -> None:
        """The next (160,) frame of the microphone."""
        self.progress()
        if not self._ear_open(frame):
            return
        time_s: float | None = getattr(self.source, "frame_time_s", None)
        for found in self.endpointer.feed(*self.barge_in.listen(frame, self.vad, time_s)):
            self._found(found)
        self.barge_in.tick()

    def _ear_open(self, frame: Samples) -> bool:
        """Whether the frame may be heard: always, or since a key was pressed or the wake word was said."""
        if self.speaker.speaking:
            self.wake.keep_open(self.config.listen.follow_up_ms)  # an answer may be interrupted, and answered
        match self.wake.feed(frame, self.endpointer.in_speech):
            case Ear.CLOSED | Ear.EXPIRED as ear:
                if ear is Ear.EXPIRED:
                    self.endpointer.reset()
                return False
            case Ear.OPENED:
                self.endpointer.reset()  # the wake word itself is no request
                if self.config.speak.earcons and self.wake.name == "word":
                    self._spawn(self.speaker.tone("listening"))
            case Ear.RELEASED:
                for found in self.endpointer.end_now():
                    self._found(found)
                return False
        return True

    def _found(self, found: Onset | Continued | Ended | Discarded) -> None:
        match found:
            case Onset():
                self._begin(found)
            case Continued():
                self.listener.feed(found.frame, found.silence_ms)
            case Ended():
                self.wake.utterance_ended()
                if (hearing := self.listener.end(found.utterance)) is not None:
                    self._spawn(self._take(hearing, found.utterance, found.silence_ms))
            case Discarded():
                self.listener.end()
                self.barge_in.nothing_said()

    def _begin(self, onset: Onset) -> None:
        self.turns += 1
        turn = Turn(Scope(self.turns), started_s=self.clock.monotonic())
        self.listener.begin(turn, onset.start_ms)
        self._emit(SpeechStarted, turn)
        self.barge_in.onset(turn)
        self.listener.feed(onset.pre_roll, 0.0)

    # --- one turn ---

    async def _take(self, hearing: Hearing, utterance: Utterance, silence_ms: float) -> None:
        turn, started = hearing.turn, time.perf_counter()
        turn.speech_ms, turn.silence_ms = utterance.speech_end_ms - utterance.speech_start_ms, silence_ms
        turn.ms |= {"speech": turn.speech_ms, "endpoint": silence_ms}
        self._emit(SpeechEnded, turn, duration_ms=turn.speech_ms, silence_ms=silence_ms)
        before, self._latest = self._latest, turn
        try:
            transcript, decision = await self.listener.understand(hearing, utterance)
            if before is not None and not before.begun.is_set():
                await before.begun.wait()  # what was said before changes what this means
                decision = turn.decision = await self._decide_over_voice(transcript)
            if self.floor() is not None:
                transcript, decision = await second_reading(
                    transcript, decision, hearing.stop_words or hearing.words, self._decide_over_voice
                )
                turn.transcript, turn.decision = transcript, decision
            verdict = self.barge_in.words(transcript, decision, final=True)
            if verdict is Verdict.RESUME or (transcript.refused and self.wake.name == "off"):
                return  # with the ear always open, a tone for all that is said in the room would be one too many
            if verdict is not Verdict.NONE and self.current is not None:
                self._interrupt(self.current, verdict)
            self.current = turn
            answer = await turn.scope.spawn(self.conversation.respond(turn, transcript, decision))
            spent_ms = (time.perf_counter() - started) * 1000
            turn.ms["response"] = silence_ms + max(spent_ms, turn.ms["transcribe"] + turn.ms.get("act", 0.0))
            await self._answer(turn, answer)
        except (StaleTurn, asyncio.CancelledError):
            turn.state = TurnState.CANCELLED
        except VoiceNeedleError as error:
            await self._report(turn, error)
        finally:
            turn.begun.set()
            if self.current is turn:
                self.current = None
            self.trace.write(turn, self.clock.now())

    async def _decide_over_voice(self, transcript: Transcript) -> Decision:
        return await self.conversation.decide(transcript, self.speaker.speaking)

    def _interrupt(self, turn: Turn, verdict: Verdict) -> None:
        """Take the floor from `turn`: its speech stops, its calls end as their policies say."""
        turn.interrupted_by = verdict.value
        self.conversation.interrupted(self.conversation.dispatcher.cancel(turn.number))
        turn.scope.cancel(verdict.value)
        self._emit(TurnCancelled, turn, reason=verdict.value)

    async def _answer(self, turn: Turn, answer: Answer) -> None:
        turn.scope.check()
        turn.state = TurnState.ANSWERING
        turn.begun.set()
        if answer.text:
            self._emit(AnswerStarted, turn, text=answer.text)
            await turn.scope.spawn(self._say(turn, answer.text))
        elif answer.tone and self.config.speak.earcons:
            await turn.scope.spawn(self.speaker.tone(answer.tone))
        turn.state = TurnState.ENDED

    async def _say(self, turn: Turn, text: str) -> None:
        started = time.perf_counter()

        def began() -> None:
            turn.ms["voice"] = (time.perf_counter() - started) * 1000
            turn.ms["response"] = turn.ms.get("response", 0.0) + turn.ms["voice"]

        spoken = Spoken(unsaid=text)
        self.barge_in.answer(text)
        try:
            spoken = await self.speaker.say(text, on_start=began)
        except asyncio.CancelledError:
            spoken = self.speaker.stop()
            raise
        finally:
            turn.said, turn.unsaid = spoken.said, spoken.unsaid
            self.conversation.memory.last_unsaid = spoken.unsaid
            self._emit(AnswerEnded, turn, said=spoken.said, unsaid=spoken.unsaid, played_ms=spoken.played_ms)

    # --- what is not asked for ---

    async def announce(self, text: str, tone: str = "attention") -> None:
        """Say something of our own accord: a timer that rings, a fault. Waits for its turn to speak, but not for music to end."""
        while self.current is not None or self.listener.attending:
            await self.clock.sleep(0.2)
        self.turns += 1
        turn = self.current = Turn(Scope(self.turns), started_s=self.clock.monotonic(), answer=text)
        try:
            if tone and self.config.speak.earcons:
                await self.speaker.tone(tone)
            await self._answer(turn, Answer(text))
        except (StaleTurn, asyncio.CancelledError):
            turn.state = TurnState.CANCELLED
        finally:
            if self.current is turn:
                self.current = None
            self.trace.write(turn, self.clock.now())

    async def ring(self, ring: Ring) -> None:
        """A timer is due; it has rung when this returns."""
        self.emit(TimerRang(self.turns, self.clock.monotonic() * 1000, ring.label, ring.due))
        await self.announce(rung(ring))

    def tell(self, text: str) -> None:
        """`announce`, without waiting for it."""
        self._spawn(self.announce(text))

    def tell_of(self, entry: Entry) -> None:
        """A call that a power cut left open: say so once, and never do it again by ourselves."""

        async def tell() -> None:
            what = self.conversation.phraser.request(entry.call, self.conversation.tools())
            await self.announce(
                f"The power went while I was asked to {what}. I do not know whether it happened: please check."
            )
            await self.conversation.dispatcher.told(entry)

        self._spawn(tell())

    async def _report(self, turn: Turn, error: VoiceNeedleError) -> None:
        log.error("%s", error)
        self.emit(Fault(turn.number, self.clock.monotonic() * 1000, type(error).__name__, error.spoken, error.fix))
        with contextlib.suppress(StaleTurn, asyncio.CancelledError, VoiceNeedleError):
            await self._answer(turn, Answer(error.spoken, tone="error"))

    # --- plumbing ---

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _emit(self, kind: type[Event], turn: Turn, **values: object) -> None:
        self.emit(kind(turn=turn.number, at_ms=self.clock.monotonic() * 1000, **values))


def rung(ring: Ring) -> str:
    """What is said when a timer, an alarm or a reminder is due."""
    late = f" It was due at {ring.due:%H:%M}, while I was off." if ring.late else ""
    match ring.kind:
        case "reminder":
            return f"A reminder: {ring.label}.{late}"
        case "alarm":
            return (f"Your alarm: {ring.label}." if ring.label else "Your alarm.") + late
    return (f"Your {ring.label} timer is done." if ring.label else "Your timer is done.") + late

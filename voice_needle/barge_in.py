"""Interruption: duck at once, confirm with words, then stop or go on.

While we speak, a sound in the room makes our voice quieter within one block. Only words decide what it was: a backchannel, a
cough or somebody else's talk, and we go on; "stop", a correction or a new request, and the floor is the user's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import numpy as np

from voice_needle.audio import FRAME_SAMPLES, Samples
from voice_needle.clock import Clock
from voice_needle.config import BargeIn as Settings
from voice_needle.events import BargedIn, Decision, DialogueAct, Ducked, Event, Outcome, Resumed, Transcript
from voice_needle.listen.engine import Vad
from voice_needle.turn import Turn, TurnState

SILENT_FRAME: Samples = np.zeros(FRAME_SAMPLES, np.int16)


class Verdict(StrEnum):
    """What an utterance does to the turn that has the floor."""

    NONE = "none"  # nobody has the floor
    RESUME = "resume"  # it was nothing: the turn goes on
    STOP = "stop"
    CANCEL = "cancel"
    CORRECT = "correct"
    REQUEST = "request"


class Voice(Protocol):
    """The part of the speaker that an interruption moves."""

    @property
    def speaking(self) -> bool: ...

    def duck(self, db: float) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class BargeIn:
    """Decides about interruptions. floor: the turn that acts or speaks now, if any.

    mode as in the configuration: full; duck-first (a stop needs the final words); stop-word (only stop and cancel count);
    off (deaf while speaking).
    """

    def __init__(
        self,
        voice: Voice,
        floor: Callable[[], Turn | None],
        settings: Settings,
        clock: Clock,
        emit: Callable[[Event], None],
        mode: str = "full",
    ) -> None:
        self.voice, self.floor, self.settings, self.clock, self.emit = voice, floor, settings, clock, emit
        self.mode = mode
        self._ducked_at: float | None = None
        self._paused = False

    def listen(self, frame: Samples, vad: Vad) -> tuple[Samples, float]:
        """The frame as the rest may hear it, and the probability that the user speaks in it."""
        if self.mode == "off" and self.voice.speaking:
            return SILENT_FRAME, 0.0
        return frame, vad.speech_probability(frame)

    def onset(self, turn: Turn) -> None:
        """Somebody began to speak: make room for it before knowing what it is."""
        if self.voice.speaking and self._ducked_at is None:
            self.voice.duck(abs(self.settings.duck_db))
            self._ducked_at = self.clock.monotonic()
            self._tell(Ducked)

    def words(self, transcript: Transcript, decision: Decision, *, final: bool) -> Verdict:
        """What the words mean for the turn that has the floor. Partial words may silence us; only final ones end a turn."""
        turn = self.floor()
        if turn is None:
            self._restore()
            return Verdict.NONE
        verdict = judge(transcript, decision)
        if self.mode == "stop-word" and self.voice.speaking and verdict not in (Verdict.STOP, Verdict.CANCEL):
            verdict = Verdict.RESUME
        if not final:
            if (
                verdict is not Verdict.RESUME
                and self.mode == "full"
                and not self._paused
                and self._ducked_at is not None
            ):
                self.voice.pause()
                self._paused = True
            return verdict
        if verdict is Verdict.RESUME:
            self._go_on()
        else:
            self._ducked_at, self._paused = None, False
            self.voice.duck(0.0)
            at_ms = self.clock.monotonic() * 1000
            self.emit(BargedIn(turn.number, at_ms, kind=verdict.value, text=transcript.text))
        return verdict

    def nothing_said(self) -> None:
        """It was too short to be speech."""
        self._go_on()

    def tick(self) -> None:
        """Once a frame: no words in time, so it was a noise."""
        if (
            self._ducked_at is not None
            and not self._paused
            and (self.clock.monotonic() - self._ducked_at) * 1000 >= self.settings.confirm_ms
        ):
            self._go_on()

    def _go_on(self) -> None:
        if self._restore():
            self._tell(Resumed)

    def _restore(self) -> bool:
        if self._ducked_at is None:
            return False
        self.voice.duck(0.0)
        if self._paused:
            self.voice.resume()
        self._ducked_at, self._paused = None, False
        return True

    def _tell(self, kind: type[Ducked] | type[Resumed]) -> None:
        turn = self.floor()
        self.emit(kind(turn.number if turn else 0, self.clock.monotonic() * 1000))


def judge(transcript: Transcript, decision: Decision) -> Verdict:
    """What these words would do to a turn that has the floor."""
    if transcript.refused or not transcript.text:
        return Verdict.RESUME
    match decision.act:
        case DialogueAct.BACKCHANNEL:
            return Verdict.RESUME
        case DialogueAct.STOP:
            return Verdict.STOP
        case DialogueAct.CANCEL | DialogueAct.NO:
            return Verdict.CANCEL
        case DialogueAct.CORRECT:
            return Verdict.CORRECT
        case DialogueAct.YES | DialogueAct.REPEAT | DialogueAct.UNDO:
            return Verdict.REQUEST
    return Verdict.RESUME if decision.outcome is Outcome.DECLINE else Verdict.REQUEST


def has_floor(turn: Turn | None) -> bool:
    """Whether there is something to interrupt."""
    return turn is not None and turn.state in (TurnState.ACTING, TurnState.ANSWERING)

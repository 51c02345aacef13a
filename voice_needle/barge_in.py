"""Interruption: duck at once, confirm with words, then stop or go on.

While we speak, a sound in the room that our own voice does not explain makes us quieter within one block. Only words decide
what it was: a backchannel, a cough or somebody else's talk, and we go on; "stop", a correction or a new request, and the floor
is the user's. Words that we are just saying ourselves, heard while much echo remains, are taken for ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples, slide
from voice_needle.clock import Clock
from voice_needle.config import BargeIn as Settings
from voice_needle.events import BargedIn, Decision, DialogueAct, Ducked, Event, Outcome, Resumed, Transcript
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.engine import Vad
from voice_needle.turn import Turn, TurnState

SILENT_FRAME: Samples = np.zeros(FRAME_SAMPLES, np.int16)
EARLY_FRAMES = 2  # of speech: enough to duck, not enough to begin an utterance
EARLY_MS = 300.0  # without an utterance by then, it was nothing
VOICED_FRAMES = 4  # with a pitch: words have them, a cough or a door has not; enough to be silent for a moment
SAID_FRAMES = 12  # to stop: a "stop" of the four voices has 25 or more, of 101 coughs read as words two had 4 and 9
UNSURE = 0.8  # of confidence: below it, all but a stop must be longer; our voice in a room that has changed was read as "do not"
LONG_FRAMES = 3 * SAID_FRAMES  # longer than a word or two
CLEAN_DB = 20.0  # echo removed: so much, and words that we are saying may still be the user's


class Verdict(StrEnum):
    """What an utterance does to the turn that has the floor."""

    NONE = "none"  # nobody has the floor
    RESUME = "resume"  # it was nothing: the turn goes on
    STOP = "stop"
    CANCEL = "cancel"
    CORRECT = "correct"
    REQUEST = "request"


class Listened(NamedTuple):
    """A frame of the microphone: (160,), the probability that the user speaks in it, and whether all that is in it is our own voice."""

    frame: Samples
    probability: float
    ours: bool = False


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
    off (deaf while speaking). echo: takes our voice out of the frames; None where none can be in them.
    """

    def __init__(
        self,
        voice: Voice,
        floor: Callable[[], Turn | None],
        settings: Settings,
        clock: Clock,
        emit: Callable[[Event], None],
        mode: str = "full",
        echo: EchoCanceller | None = None,
    ) -> None:
        self.voice, self.floor, self.settings, self.clock, self.emit = voice, floor, settings, clock, emit
        self.mode, self.echo = mode, echo
        self.saying = ""  # the words of the answer in progress
        self._ducked_at: float | None = None
        self._paused = False
        self._speech = 0  # frames of speech in a row, while we speak
        self._begun = False  # an utterance runs
        self._over = False  # it was heard over our voice, which may have ended meanwhile
        self._pitch = Pitch()
        self._voiced = 0  # frames with a pitch since it became loud

    def listen(self, frame: Samples, vad: Vad, time_s: float | None = None) -> Listened:
        """The frame as the rest may hear it. time_s: when it was heard."""
        ours = False
        if self.echo is not None and time_s is not None:
            cleaned = self.echo.process(frame, time_s)
            frame = cleaned.samples
            probability = vad.speech_probability(frame)
            probability = probability if cleaned.person else 0.0
            ours = self.voice.speaking and not cleaned.person
        else:
            probability = vad.speech_probability(frame)
        voiced = self._pitch.feed(frame, look=probability >= 0.5)
        if probability >= 0.5:
            self._voiced += voiced
        elif not self._begun:
            self._voiced = 0
        if not self.voice.speaking:
            self._speech = 0
            return Listened(frame, probability)
        if self.mode == "off":
            return Listened(SILENT_FRAME, 0.0)
        self._speech = self._speech + 1 if probability >= 0.5 else 0
        if self._speech == EARLY_FRAMES:
            self._duck()
        return Listened(frame, probability, ours)

    def onset(self, turn: Turn) -> None:
        """Somebody began to speak: make room for it before knowing what it is."""
        self._begun, self._over = True, self.voice.speaking
        if self._over:
            self._duck()

    def _duck(self) -> None:
        if self._ducked_at is None:
            self.voice.duck(abs(self.settings.duck_db))
            self._ducked_at = self.clock.monotonic()
            self._tell(Ducked)

    def words(self, transcript: Transcript, decision: Decision, *, final: bool) -> Verdict:
        """What the words mean for the turn that has the floor. Partial words may silence us; only final ones end a turn."""
        self._begun = self._begun and not final
        turn = self.floor()
        if turn is None:
            self._restore()
            return Verdict.NONE
        if not final:
            self._partial(transcript, decision)
            return Verdict.NONE
        verdict = judge(transcript, decision)
        sure = transcript.confidence >= UNSURE or decision.act in (DialogueAct.STOP, DialogueAct.CANCEL)
        least = SAID_FRAMES if sure else LONG_FRAMES
        if verdict is not Verdict.RESUME and (self._is_ours(transcript.text) or self._toneless(self._voiced, least)):
            verdict = Verdict.RESUME
            self._mistaken()
        self._voiced, self._over = 0, False
        if self.mode == "stop-word" and self.voice.speaking and verdict not in (Verdict.STOP, Verdict.CANCEL):
            verdict = Verdict.RESUME
        if verdict is Verdict.RESUME:
            if transcript.refused or not transcript.text:
                self._mistaken()
            self._go_on()
        else:
            self._ducked_at, self._paused = None, False
            self.voice.duck(0.0)
            at_ms = self.clock.monotonic() * 1000
            self.emit(BargedIn(turn.number, at_ms, kind=verdict.value, text=transcript.text))
        return verdict

    def _partial(self, transcript: Transcript, decision: Decision) -> None:
        """Silence, for now, as soon as the words may be meant for us: they begin a request, or are one already."""
        if self.mode != "full" or self._paused or self._ducked_at is None or transcript.refused or not transcript.text:
            return
        if decision.act is DialogueAct.BACKCHANNEL or self._is_ours(transcript.text) or self._toneless(self._voiced):
            return
        if judge(transcript, decision) is not Verdict.RESUME or not decision.complete:
            self.voice.pause()
            self._paused = True

    def _is_ours(self, text: str) -> bool:
        """Whether these are words that we are saying, heard through an echo that is not well removed."""
        if not self.voice.speaking or not self.saying or (self.echo is not None and self.echo.removed_db >= CLEAN_DB):
            return False
        return self.echo is not None and _within(_words(text), _words(self.saying))

    def _toneless(self, voiced: int, least: int = VOICED_FRAMES) -> bool:
        """Whether what was heard over our voice cannot be words, whatever the recogniser made of it."""
        return self.echo is not None and (self._over or self.voice.speaking) and voiced < least

    def _mistaken(self) -> None:
        if self.echo is not None and self.voice.speaking:
            self.echo.mistaken()

    def nothing_said(self) -> None:
        """It was too short to be speech."""
        self._begun = False
        self._go_on()

    def answer(self, text: str) -> None:
        """What we begin to say."""
        self.saying = text

    def tick(self) -> None:
        """Once a frame: no words in time, so it was a noise."""
        if self._ducked_at is None or self._paused:
            return
        waited_ms = (self.clock.monotonic() - self._ducked_at) * 1000
        if waited_ms >= (self.settings.confirm_ms if self._begun else EARLY_MS):
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


class Pitch:
    """Whether a frame has a pitch of 80 to 400 Hz: the peak of its normalised autocorrelation over the last 40 ms.

    Of a low voice the overtones are enough; a door that falls shut hums at 85 Hz, and has none.
    """

    _SIZE, _LOW, _HIGH = 640, 40, 200
    _LOWEST_HZ = 200.0
    _CLEAR = 0.5

    def __init__(self) -> None:
        self._samples = np.zeros(self._SIZE, np.float32)

    def feed(self, frame: Samples, *, look: bool = True) -> bool:
        """look: whether to know. It costs ten times what the voice-activity detector does."""
        slide(self._samples, frame)
        if not look:
            return False
        power = np.abs(np.fft.rfft(self._samples - self._samples.mean(), 2 * self._SIZE)) ** 2
        power[: round(self._LOWEST_HZ * 2 * self._SIZE / SAMPLE_RATE_HZ)] = 0.0
        lags = np.fft.irfft(power)[: self._HIGH]
        fading = 1.0 - np.arange(self._LOW, self._HIGH) / self._SIZE  # fewer samples overlap at longer lags
        return bool(lags[0] > 0 and np.max(lags[self._LOW :] / fading) > self._CLEAR * lags[0])


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


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def _within(part: list[str], whole: list[str]) -> bool:
    """Whether `part` is heard in one place of `whole`: its words in order, with at most as many others between them.

    A grammar hears in our sentence those words that it knows; but in a long answer any four small words come in any order.
    """
    longest = 2 * len(part) - 1
    for start, word in enumerate(whole):
        if part and word == part[0]:
            rest = iter(whole[start : start + longest])
            if all(word in rest for word in part):
                return True
    return False


def has_floor(turn: Turn | None) -> bool:
    """Whether there is something to interrupt."""
    return turn is not None and turn.state in (TurnState.ACTING, TurnState.ANSWERING)

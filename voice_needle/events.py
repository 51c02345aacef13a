"""What travels between the stages: words, decisions, calls and results, and every event of a turn.

Each is a frozen dataclass; a time carries its unit in its name. Positions in sound are milliseconds since the source
started; durations are milliseconds. `INTERRUPTIBLE` events are dropped when their turn is cancelled, the others are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from voice_needle.audio import Samples, to_ms

# --- words -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Utterance:
    """One stretch of speech with its pre-roll. samples: (n,) int16 at 16 kHz; start_ms: position of samples[0]."""

    samples: Samples
    start_ms: float
    speech_start_ms: float  # where speech began, after the pre-roll
    speech_end_ms: float  # where speech ended, before the trailing silence
    cut: bool = False  # ended by the maximum length, not by silence
    reply: bool = False  # said over our voice or soon after it: it may answer, correct or stop what we said

    @property
    def duration_ms(self) -> float:
        return to_ms(len(self.samples))


@dataclass(frozen=True)
class Word:
    """One recognised word. Times from the start of the utterance; confidence 0 to 1."""

    text: str
    start_ms: float = 0.0
    end_ms: float = 0.0
    confidence: float = 1.0


@dataclass(frozen=True)
class Repair:
    """A misheard name put right against a vocabulary."""

    heard: str
    repaired: str
    vocabulary: str
    score: float  # 0 to 1: how alike the two sound


@dataclass(frozen=True)
class Transcript:
    """Words with times and confidences; partial while the user still speaks, final after."""

    text: str
    words: tuple[Word, ...] = ()
    confidence: float = 1.0  # 0 to 1 that the words are what was said; out-of-domain speech is near 0
    final: bool = True
    engine: str = "text"
    alternatives: tuple[str, ...] = ()  # other readings, best first
    repairs: tuple[Repair, ...] = ()
    noisy: bool = False  # heard in noise in which words are often misread
    refused: str = ""  # why nothing usable was heard ("silence", "noise", "out of domain", "phantom"); empty when usable


# --- decisions -------------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What the router wants done with a transcript."""

    ACT = "act"  # execute the calls
    CONFIRM = "confirm"  # say what would be done, wait for yes
    ASK = "ask"  # one short question
    DECLINE = "decline"  # nothing


class DialogueAct(StrEnum):
    """What an utterance does to the conversation rather than to a tool."""

    YES = "yes"
    NO = "no"
    CANCEL = "cancel"
    STOP = "stop"
    REPEAT = "repeat"
    UNDO = "undo"
    CORRECT = "correct"  # Decision.calls holds the last call with the new arguments filled in
    BACKCHANNEL = "backchannel"  # "uh-huh": go on talking


@dataclass(frozen=True)
class Call:
    """A tool and its arguments. evidence: parameter -> the words (or "default") that support its value."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)

    def same_as(self, other: Call) -> bool:
        """Whether both would do the same thing."""
        return self.tool == other.tool and dict(self.arguments) == dict(other.arguments)


@dataclass(frozen=True)
class Question:
    """What is missing before a call can be made."""

    tool: str
    parameter: str  # "" when it is the tool itself that is unclear
    kind: str  # missing | ambiguous | unknown_value | out_of_range | unsupported | unsure | same (a correction to what was done)
    detail: str = ""  # the words in question, such as "at seven" or "the attic"
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a router says about a transcript: calls in spoken order, an outcome, a calibrated confidence."""

    calls: tuple[Call, ...] = ()
    outcome: Outcome = Outcome.DECLINE
    confidence: float = 0.0  # calibrated probability that the whole decision is right
    question: Question | None = None  # with outcome ASK
    act: DialogueAct | None = None
    reason: str = ""  # for the trace: "template", "negated", "no tool fits", "below threshold 0.82", ...
    router: str = ""
    elapsed_ms: float = 0.0
    complete: bool = True  # False: the words end where more must follow ("and ...", "to the ...")
    clauses: tuple[str, ...] = ()  # the words of each call, from the first of its own to the next call's; () where not known


@dataclass(frozen=True)
class RouteContext:
    """All a router may know besides words and tools. Nothing in it may become an argument that the words do not call for."""

    now: datetime
    room: str | None = None  # where the device stands: the declared default of "here"
    last_calls: tuple[Call, ...] = ()  # of the turn before; a correction amends the last of them
    pending: Question | None = None  # a question that waits for its answer
    pending_calls: tuple[Call, ...] = ()  # what a "yes" would execute
    speaking: bool = False


# --- results ---------------------------------------------------------------------------------------------------------


class Status(StrEnum):
    """How a call ended. The truth, as far as it is known."""

    OK = "ok"
    NOT_FOUND = "not_found"
    SEVERAL = "several"
    BUSY = "busy"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    UNREACHABLE = "unreachable"  # it did not happen
    TIMEOUT = "timeout"  # unknown whether it happened
    UNCONFIRMED = "unconfirmed"  # sent, no acknowledgement
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class ToolResult:
    """What came of one call. values fill the tool's phrases; error: one spoken sentence where it did not work."""

    call: Call
    status: Status
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    elapsed_ms: float = 0.0
    ledger_id: int | None = None

    @property
    def ok(self) -> bool:
        return self.status is Status.OK


# --- events of a turn ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Base of all events. turn: number of the turn it belongs to; at_ms: the clock's monotonic time in milliseconds."""

    INTERRUPTIBLE: ClassVar[bool] = False
    turn: int
    at_ms: float


@dataclass(frozen=True)
class SpeechStarted(Event):
    """Someone began to speak."""


@dataclass(frozen=True)
class SpeechEnded(Event):
    """The end of an utterance was decided. silence_ms: how long it was waited for."""

    duration_ms: float
    silence_ms: float


@dataclass(frozen=True)
class Heard(Event):
    """Words, partial or final."""

    INTERRUPTIBLE: ClassVar[bool] = True
    transcript: Transcript
    elapsed_ms: float


@dataclass(frozen=True)
class Decided(Event):
    INTERRUPTIBLE: ClassVar[bool] = True
    decision: Decision
    elapsed_ms: float


@dataclass(frozen=True)
class CallStarted(Event):
    call: Call


@dataclass(frozen=True)
class CallEnded(Event):
    """A call is settled; whatever arrives for it later is refused."""

    result: ToolResult


@dataclass(frozen=True)
class AnswerStarted(Event):
    """The first block of the answer was handed to the speaker."""

    INTERRUPTIBLE: ClassVar[bool] = True
    text: str


@dataclass(frozen=True)
class AnswerEnded(Event):
    """The last block was played, or the answer was cut. said: the words that were really heard."""

    said: str
    unsaid: str
    played_ms: float


@dataclass(frozen=True)
class Ducked(Event):
    """Our own voice was made quieter because someone speaks."""


@dataclass(frozen=True)
class Resumed(Event):
    """It was a backchannel or a noise: our voice goes on at its level."""


@dataclass(frozen=True)
class BargedIn(Event):
    """The user interrupted with words. kind: stop | cancel | correct | request."""

    kind: str
    text: str


@dataclass(frozen=True)
class TurnCancelled(Event):
    reason: str


@dataclass(frozen=True)
class LateResultRefused(Event):
    """A result arrived for a call that was already settled: logged, never spoken, never acted on."""

    call: Call


@dataclass(frozen=True)
class TimerRang(Event):
    label: str
    due: datetime


@dataclass(frozen=True)
class Fault(Event):
    """An error the user could meet. spoken and fix as in errors.py."""

    error: str
    spoken: str
    fix: str


EVENTS: tuple[type[Event], ...] = (
    SpeechStarted, SpeechEnded, Heard, Decided, CallStarted, CallEnded, AnswerStarted, AnswerEnded, Ducked, Resumed,
    BargedIn, TurnCancelled, LateResultRefused, TimerRang, Fault,
)  # fmt: skip


def as_json(event: Event) -> dict[str, Any]:
    """The event as a JSON-able object with its kind."""
    return {"event": type(event).__name__, **asdict(event)}

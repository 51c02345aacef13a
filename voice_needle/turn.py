"""One turn: its states, and its scope: the right to act and to speak, which an interruption takes away.

Every piece of work carries the scope of its turn and asks `scope.check()` before a side effect and before a word is spoken.
A cancelled scope never comes back to life; the next turn gets a new one with a higher number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from voice_needle.clock import Clock
from voice_needle.events import Call, Decision, Question, ToolResult, Transcript

T = TypeVar("T")


class TurnState(StrEnum):
    """Where a turn is on the path of sound."""

    HEARING = "hearing"
    TRANSCRIBING = "transcribing"
    DECIDING = "deciding"
    ACTING = "acting"
    ANSWERING = "answering"
    ENDED = "ended"
    CANCELLED = "cancelled"


class StaleTurn(Exception):
    """The turn was cancelled: whatever wanted to go on must not. Never met by a user."""


class Scope:
    """A turn's cancellable scope: its number (the generation), the tasks that run in its name, and whether it still counts."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.reason = ""
        self._tasks: set[asyncio.Task[Any]] = set()

    def live(self) -> bool:
        """False once the turn was cancelled: nothing more may begin in its name."""
        return not self.reason

    def check(self) -> None:
        """Errors: StaleTurn when this turn was cancelled."""
        if self.reason:
            raise StaleTurn(self.reason)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` as a task that a cancellation reaches."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self, reason: str) -> None:
        """End the scope and every task in it. The first reason stands."""
        if not self.reason:
            self.reason = reason or "cancelled"
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()


@dataclass
class Turn:
    """What is known of one turn while it runs; the trace line is made from it at its end. Times: clock.monotonic() seconds."""

    scope: Scope
    started_s: float
    state: TurnState = TurnState.HEARING
    speech_ms: float = 0.0  # length of the user's speech
    silence_ms: float = 0.0  # how long was waited for its end
    transcript: Transcript | None = None
    decision: Decision | None = None
    results: list[ToolResult] = field(default_factory=list)
    answer: str = ""
    said: str = ""
    unsaid: str = ""
    interrupted_by: str = ""  # "" | stop | cancel | correct | request
    ms: dict[str, float] = field(default_factory=dict)  # stage -> milliseconds
    begun: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # it acts, answers or is over: the next may be understood

    @property
    def number(self) -> int:
        return self.scope.turn


@dataclass
class Memory:
    """What one turn leaves to the next: nothing else is carried over, so that no request leaks into another."""

    last_calls: tuple[Call, ...] = ()
    last_answer: str = ""
    last_unsaid: str = ""
    answered_s: float = -1e9  # when the last turn began to act or to be answered
    question: Question | None = None
    pending_calls: tuple[Call, ...] = ()
    question_until_s: float = 0.0
    replaced: Call | None = None  # what a correction took the place of: "no, both" wants it, too
    stopping: tuple[Call, ...] = ()  # running calls: a "yes" stops them
    beside: bool = False  # pending_calls would be done beside what they correct
    amending: bool = False  # the answer takes the place of what was done
    undoing: int | None = None  # ledger number: a "yes" takes it back

    @property
    def only_asked(self) -> bool:
        """What is asked about was not done: there is nothing to take back."""
        return bool(self.pending_calls) and not self.amending

    def ask(self, question: Question | None, calls: tuple[Call, ...], until_s: float) -> None:
        """An open question: its answer completes `calls`, or allows them."""
        self.forget_question()
        self.question, self.pending_calls, self.question_until_s = question, calls, until_s

    def forget_question(self) -> None:
        self.question, self.pending_calls, self.question_until_s = None, (), 0.0
        self.stopping, self.undoing, self.beside, self.amending = (), None, False, False

    def expire(self, clock: Clock) -> bool:
        """Drop a question nobody answered in time. True when one was dropped."""
        if (self.question or self.pending_calls) and clock.monotonic() >= self.question_until_s:
            self.forget_question()
            return True
        return False

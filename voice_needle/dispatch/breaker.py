"""A circuit breaker for one plugin: after several calls without an answer it says so at once instead of trying again.

Closed: calls pass. Open, after `threshold` calls in a row that were unreachable or timed out: calls are refused with the
truth. Half open, after `rest_s`: one call may try; its answer closes or opens again. (M. Nygard, Release It!, 2007.)
"""

from __future__ import annotations

from enum import StrEnum

from voice_needle.clock import Clock
from voice_needle.errors import ToolUnreachable
from voice_needle.events import Status

SILENT = frozenset({Status.UNREACHABLE, Status.TIMEOUT})


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """State of one plugin's back end. rest_s: seconds before one more call may try."""

    def __init__(self, plugin: str, clock: Clock, *, threshold: int = 3, rest_s: float = 30.0) -> None:
        self._plugin = plugin
        self._clock = clock
        self._threshold = threshold
        self._rest_s = rest_s
        self._silent = 0
        self._opened_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        if self._silent < self._threshold:
            return State.CLOSED
        rested = self._clock.monotonic() - self._opened_at >= self._rest_s
        return State.HALF_OPEN if rested else State.OPEN

    def admit(self) -> None:
        """Ask before a call; follow it with `record` or `release`. Errors: ToolUnreachable while the back end is left alone."""
        state = self.state
        if state is State.CLOSED:
            return
        if state is State.HALF_OPEN and not self._probing:
            self._probing = True
            return
        left = max(1, round(self._rest_s - (self._clock.monotonic() - self._opened_at)))
        spoken = f"It has not answered {self._silent} times in a row, so I did not try. Nothing was done."
        what = f"{self._plugin} has not answered {self._silent} times in a row; next try in {left} s"
        raise ToolUnreachable(what, spoken=spoken)

    def record(self, status: Status) -> None:
        """How an admitted call ended."""
        self._probing = False
        if status in SILENT:
            self._silent += 1
            if self._silent >= self._threshold:
                self._opened_at = self._clock.monotonic()
        elif status is not Status.CANCELLED:
            self._silent = 0

    def release(self) -> None:
        """The admitted call was not made after all."""
        self._probing = False

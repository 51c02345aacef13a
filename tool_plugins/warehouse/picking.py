"""The pick list in hand: which line is next, what was skipped. Kept on this device, so that a dead spot stops nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .outbox import Outbox

_KEPT = "pick list"


@dataclass(frozen=True)
class Line:
    """state: open | skipped (comes again at the end) | left (skipped twice) | booked."""

    position: int
    sku: str
    bin: str
    wanted: int
    state: str = "open"
    booking: str = ""


class PickList:
    """At most one list at a time. Every change is on disk when the method returns."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def code(self) -> str | None:
        """The list in hand; None when there is none."""
        kept = self._outbox.kept(_KEPT)
        return str(kept["code"]) if kept else None

    def lines(self) -> list[Line]:
        kept = self._outbox.kept(_KEPT)
        return [Line(**line) for line in kept["lines"]] if kept else []

    def start(self, code: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Take a list in hand. lines: those that are still open, in walking order."""
        self._keep(code, [Line(row["position"], row["sku"], row["bin"], row["wanted"]) for row in lines])

    def drop(self) -> None:
        self._outbox.keep(_KEPT, None)

    def current(self) -> Line | None:
        """The line to pick now: in order, then those that were skipped; None when all are done or left."""
        lines = self.lines()
        return next((line for wanted in ("open", "skipped") for line in lines if line.state == wanted), None)

    def booked(self, line: Line, booking: str) -> None:
        self._change(line, state="booked", booking=booking)

    def skip(self, line: Line) -> None:
        self._change(line, state="left" if line.state == "skipped" else "skipped")

    def reopen(self, booking: str) -> None:
        """The booking of a line was taken back: the line is to pick again."""
        for line in self.lines():
            if line.booking == booking:
                self._change(line, state="open", booking="")

    def _change(self, line: Line, **values: Any) -> None:
        lines = [replace(item, **values) if item.position == line.position else item for item in self.lines()]
        self._keep(self.code or "", lines)

    def _keep(self, code: str, lines: Sequence[Line]) -> None:
        self._outbox.keep(_KEPT, {"code": code, "lines": [asdict(line) for line in lines]})

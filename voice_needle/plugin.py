"""The whole API for those who write a plugin: what a handler is given, what it returns, what it raises.

    from voice_needle.plugin import Context, Result

    async def setup(ctx: Context) -> None:              # optional: once, before the first call; may raise ToolUnreachable
        ctx.state["db"] = open_database(ctx.settings["database"])

    async def stock_lookup(ctx: Context, item: str) -> Result:
        count = ctx.state["db"].count(item)
        if count is None:
            return Result.not_found(item=item)
        return Result(count=count)                      # fills {count} in the tool's `say` phrases

    async def condition_stationary(ctx: Context) -> str | None:    # for `requires: [stationary]`: None, or why not
        return None if ctx.state["speed"] == 0 else "the car is moving"

    async def vocabularies(ctx: Context) -> Mapping[str, Mapping[str, list[str]]]:   # optional: names found at run time
        return {"device": {"lamp_3": ["reading lamp"]}}

    async def teardown(ctx: Context) -> None: ...       # optional

Handlers may be sync or async. They raise ToolUnreachable, ToolUnconfirmed, ToolRefused, ToolTimeout or ToolFailed from
voice_needle.errors to tell how it went wrong; any other exception is reported as ToolFailed. Cancelling the turn cancels an
async handler at its next await, if its policy says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from voice_needle.clock import Clock
from voice_needle.events import Status


class Timers(Protocol):
    """Timers, alarms and reminders that survive a restart. Kept by the dispatcher, lent to every plugin."""

    def add(self, due: datetime, label: str, kind: str = "timer") -> int:
        """Ring at `due`; written to disk before it returns. Returns the timer's number."""
        ...

    def cancel(self, number: int) -> bool: ...

    def pending(self, kind: str | None = None) -> list[tuple[int, datetime, str, str]]:
        """(number, due, label, kind), soonest first."""
        ...


@dataclass
class Context:
    """What a handler may use. One per plugin; `call_id` and `heard` change with every call."""

    plugin: str
    settings: Mapping[str, Any]  # the manifest's `settings`, overridden by the user's configuration; secrets resolved
    data_dir: Path  # this plugin's own writable folder
    clock: Clock
    timers: Timers
    log: logging.Logger
    room: str | None = None  # where the device stands
    state: MutableMapping[str, Any] = field(default_factory=dict)  # the plugin's own, from setup to teardown
    call_id: str = ""  # the ledger's number of this call: the same for a retry, so a back end can refuse a duplicate
    heard: str = ""  # the words that led to the call


class Result:
    """What came of a call: a status and the values that its phrases need. Result(count=3) is success."""

    def __init__(self, status: Status = Status.OK, /, **values: Any) -> None:
        self.status = status
        self.values = values

    @classmethod
    def not_found(cls, **values: Any) -> Result:
        return cls(Status.NOT_FOUND, **values)

    @classmethod
    def several(cls, **values: Any) -> Result:
        """More than one thing matches; give `options`, a list of names to choose from."""
        return cls(Status.SEVERAL, **values)

    @classmethod
    def busy(cls, **values: Any) -> Result:
        return cls(Status.BUSY, **values)

    @classmethod
    def partial(cls, **values: Any) -> Result:
        """Some of it was done; say what, in `done` and `left`."""
        return cls(Status.PARTIAL, **values)

    def __repr__(self) -> str:
        return f"Result({self.status.value}, {self.values})"

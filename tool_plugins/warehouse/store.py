"""The plugin's one object: books through the central database where it answers, into the outbox where it does not."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from voice_needle.clock import Clock
from voice_needle.errors import ToolFailed, ToolUnconfirmed

from . import sample, stock, tables, words
from .central import Central, Offline
from .outbox import Noted, Outbox
from .stock import Booking, Refusal

T = TypeVar("T")
_INLINE_S = 1.5  # how long a new booking waits for older ones to be sent
_FRESH_S = 10.0  # names of items are read again after this
Told = Callable[[Booking, str], None]


@dataclass(frozen=True)
class Booked:
    """What came of a booking. noted: it waits in the outbox; outcome is then empty. behind: only because others wait there."""

    noted: bool
    outcome: Mapping[str, Any]
    behind: bool = False


class Store:
    """told: called for every noted booking that the database refused later, with the reason."""

    def __init__(self, central: Central, outbox: Outbox, log: logging.Logger, *, with_sample: bool, told: Told) -> None:
        self.central = central
        self.outbox = outbox
        self._log = log
        self._with_sample = with_sample
        self._told = told
        self._ready = False
        self._known: Mapping[str, Any] | None = None
        self._known_at = 0.0
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> bool:
        """Create what is missing. False when the database is away; that is tried again at the next use."""
        try:
            await self.ask(lambda db: None)
        except Offline as error:
            self._log.warning("the stock database is away: %s", error)
            return False
        return True

    def watch(self, clock: Clock, every_s: float) -> None:
        """From now on, try every so often to send what was noted."""

        async def forever() -> None:
            while True:
                await clock.sleep(every_s)
                if self.outbox.count():
                    try:
                        await self.send()
                    except Exception as error:  # tried again after the next pause
                        self._log.warning("what was noted could not be sent: %s", error)

        self._task = asyncio.create_task(forever(), name="warehouse outbox")

    # --- asking ---

    async def ask(self, work: Callable[[Connection], T]) -> T:
        """Read something. Errors: Offline, Refusal, ToolFailed."""
        if not self._ready:
            await self.central.run(self._create)
            self._ready = True
        return await self.central.run(work)

    def _create(self, db: Connection) -> None:
        tables.metadata.create_all(db)
        if self._with_sample:
            sample.fill(db)

    async def names(self) -> Mapping[str, str]:
        """Item key -> SKU: as the database had it a moment ago, or when it last answered."""
        return (await self._items())["skus"]  # type: ignore[no-any-return]

    async def vocabulary(self) -> dict[str, list[str]]:
        self._known = None
        return dict((await self._items())["spoken"])

    async def _items(self) -> Mapping[str, Any]:
        if self._known is None or time.monotonic() - self._known_at > _FRESH_S:
            self._known = await self._read_items()
            self._known_at = time.monotonic()
        return self._known

    async def _read_items(self) -> Mapping[str, Any]:
        try:
            rows = await self.ask(stock.all_items)
        except Offline:
            return self.outbox.kept("items") or {"skus": {}, "spoken": {}, "rows": {}}
        spoken = words.vocabulary(rows)
        skus = dict(zip(spoken, (row["sku"] for row in rows), strict=True))
        found = {"skus": skus, "spoken": spoken, "rows": {row["sku"]: dict(row) for row in rows}}
        if self.outbox.kept("items") != found:
            self.outbox.keep("items", found)
        return found

    def remembered(self, sku: str) -> Mapping[str, Any] | None:
        """The item as it was when the database last answered."""
        known = self._known or self.outbox.kept("items") or {}
        return known.get("rows", {}).get(sku)  # type: ignore[no-any-return]

    # --- booking ---

    async def book(self, booking: Booking) -> Booked:
        """Make it now, or note it and make it once the database is back. Errors: Refusal, ToolFailed, ToolUnconfirmed."""
        try:
            if self.outbox.count() and not await self._caught_up():  # bookings are made in the order they were said in
                self.outbox.add(booking)
                return Booked(True, {}, behind=True)
            return Booked(False, await self._make(booking))
        except Offline as error:
            self._log.info("noted %s %s: %s", booking.kind, booking.call_id, error)
            self.outbox.add(booking)
            return Booked(True, {})

    async def _caught_up(self) -> bool:
        """Send what waits, or let whoever does so finish, for a moment. False when some is still left."""
        try:
            async with asyncio.timeout(_INLINE_S), self._sending:
                pass
        except TimeoutError:
            return False
        if self.outbox.count():
            await self.send(_INLINE_S)
        return not self.outbox.count()

    async def _make(self, booking: Booking) -> dict[str, Any]:
        made = await self.ask(lambda db: stock.book(db, booking))
        if await self.ask(lambda db: stock.booking_made(db, booking.call_id)) is None:
            raise ToolUnconfirmed(
                f"booking {booking.call_id} was committed, but is not in the database",
                spoken="The stock system took it, but does not show it. Please check.",
            )
        return made

    async def send(self, limit_s: float = float("inf")) -> int:
        """Send what was noted, oldest first. Returns how many were made. Errors: Offline when it stopped half-way."""
        until = time.monotonic() + limit_s
        async with self._sending:
            sent = 0
            while (waiting := self.outbox.waiting(1)) and time.monotonic() < until:
                sent += await self._send_one(waiting[0])
            return sent

    async def _send_one(self, noted: Noted) -> bool:
        try:
            outcome = await self._make(noted.booking)
        except Refusal as error:
            self._refused(noted, error)
            return False
        except (ToolFailed, ToolUnconfirmed) as error:
            raise Offline(str(error)) from error  # kept; nothing that was acknowledged is dropped
        self.outbox.settle(noted, "sent", json.dumps(outcome))
        return True

    def _refused(self, noted: Noted, error: Refusal) -> None:
        reason = words.refusal(error.kind, error.values, self.remembered(noted.booking.sku))
        self.outbox.settle(noted, "refused", reason)
        self._log.error("the noted booking %s was refused: %s", noted.booking.call_id, reason)
        self._told(noted.booking, reason)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.outbox.close()
        self.central.close()


def opened(
    url: Any, data_dir: Path, log: logging.Logger, *, budget_s: float, with_sample: bool | None, told: Told
) -> Store:
    """A store for a database URL. with_sample: None means in the embedded database only."""
    central = Central(url, budget_s)
    outbox = Outbox(data_dir / "outbox.db")
    return Store(central, outbox, log, with_sample=central.embedded if with_sample is None else with_sample, told=told)

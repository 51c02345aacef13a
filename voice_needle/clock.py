"""The one clock, injected everywhere: real on a device, scripted in tests and in the acoustic simulator."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What a stage may ask about time. Durations in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back. For measuring."""
        ...

    def now(self) -> datetime:
        """Wall-clock time with its zone. For alarms, dates, and what is written down."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller for at least `seconds`."""
        ...


class RealClock:
    """The machine's own time, in its own zone."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now().astimezone()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ScriptedClock:
    """Time that moves only when told to, so that an hour of conversation is simulated in seconds, the same way each time.

    `start` is the wall-clock time at monotonic 0. Sleepers wake in the order of their deadlines; between two of them every
    task that became ready runs first, as it would on a machine with nothing else to do.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a scripted clock needs a start with a time zone")
        self._start = start
        self._elapsed = 0.0
        self._jump = timedelta()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self._elapsed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed) + self._jump

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0.0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass: wake every sleeper due on the way, each at exactly its own time."""
        until = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():  # its task was cancelled meanwhile
                continue
            self._elapsed = max(self._elapsed, due)
            future.set_result(None)
            await settle()
        self._elapsed = until
        await settle()

    def skip(self, seconds: float) -> bool:
        """Let `seconds` pass where nobody sleeps so short, without giving way to any task: silence costs nothing.

        False, and no time has passed: somebody is due on the way, so `advance`.
        """
        until = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers and self._sleepers[0][0] <= until:
            return False
        self._elapsed = until
        return True

    def jump(self, by: timedelta) -> None:
        """Move the wall clock without time passing, as NTP or a dead battery does."""
        self._jump += by


async def settle(rounds: int = 20) -> None:
    """Let every task that is ready run until it waits for something."""
    for _ in range(rounds):
        await asyncio.sleep(0)

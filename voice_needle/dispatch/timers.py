"""Timers, alarms and reminders that survive a restart, a power cut, and a clock that is put right.

A timer is on disk before `add` returns, and stays there until it has rung. Alarms and reminders follow the wall clock. A
countdown (kind "timer") follows the time that really passes: when the wall clock jumps (NTP, daylight in the wrong zone, a
dead battery) its due time moves along. What fell due while the device was off rings at once, and says that it is late.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voice_needle.clock import Clock
from voice_needle.dispatch.sqlite_file import move_aside, translated
from voice_needle.errors import AudioError, LedgerCorrupt

log = logging.getLogger(__name__)

COUNTDOWN = "timer"
_RECHECK_S = 5.0  # a jump of the wall clock is noticed within this
_JUMP_S = 1.0  # less than this is drift, not a jump
_LATE_S = 10.0
_TRIES = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS timers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, label TEXT NOT NULL, kind TEXT NOT NULL,
  set_at TEXT NOT NULL, ended TEXT) STRICT;
CREATE INDEX IF NOT EXISTS timers_pending ON timers(due) WHERE ended IS NULL;
"""


@dataclass(frozen=True)
class Ring:
    """A timer that is due now. late_s: seconds since it should have rung; late: enough of them to say so."""

    number: int
    due: datetime
    label: str
    kind: str
    late_s: float

    @property
    def late(self) -> bool:
        return self.late_s > _LATE_S


class TimerStore:
    """All timers, in one SQLite file. The methods may be called from any thread; `run` rings, on the loop.

    Errors of the methods that write: LedgerFull, StorageError.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self.file = file
        self.moved_aside: Path | None = None  # where a damaged file was put
        self._clock = clock
        self._lock = threading.RLock()
        self._countdowns: set[int] = set()  # set in this run: their due time follows the monotonic clock
        self._ringing: set[asyncio.Task[None]] = set()
        self._in_hand: dict[int, int] = {}  # number -> tries so far
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open()
        except LedgerCorrupt as error:
            self.moved_aside = move_aside(file, clock.now())
            log.error("%s; moved to %s and started a new one", error, self.moved_aside)
            self._db = self._open()
        self._offset = self._wall() - clock.monotonic()

    def _open(self) -> sqlite3.Connection:
        with translated(self.file):
            db = sqlite3.connect(self.file, isolation_level=None, timeout=5.0, check_same_thread=False)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.executescript(_SCHEMA)
        return db

    def _wall(self) -> float:
        return self._clock.now().timestamp()

    # --- what plugins use (voice_needle.plugin.Timers) ---

    def add(self, due: datetime, label: str, kind: str = COUNTDOWN) -> int:
        """Ring at `due` (without a zone: local time). On disk when it returns. Returns the timer's number."""
        now = self._clock.now()
        due = due if due.tzinfo else due.replace(tzinfo=now.tzinfo)
        with self._lock, translated(self.file):
            self._follow_clock()
            row = (due.timestamp(), label, kind, now.isoformat())
            statement = "INSERT INTO timers (due, label, kind, set_at) VALUES (?, ?, ?, ?)"
            number = int(self._db.execute(statement, row).lastrowid or 0)
            if kind == COUNTDOWN:
                self._countdowns.add(number)
        self.wake()
        return number

    def cancel(self, number: int) -> bool:
        """Whether there was such a timer, still to ring."""
        return self._end(number, "cancelled")

    def pending(self, kind: str | None = None) -> list[tuple[int, datetime, str, str]]:
        """(number, due, label, kind), soonest first."""
        with self._lock, translated(self.file):
            self._follow_clock()
            rows = self._db.execute(
                "SELECT number, due, label, kind FROM timers WHERE ended IS NULL AND (? IS NULL OR kind = ?)"
                " ORDER BY due, number",
                (kind, kind),
            ).fetchall()
        return [(number, self._local(due), label, what) for number, due, label, what in rows]

    def wake(self) -> None:
        """Look again at once: another process may have written."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake.set)

    # --- ringing ---

    async def run(self, ring: Callable[[Ring], Awaitable[None]]) -> None:
        """Ring every timer when it is due, until cancelled. A timer counts as rung when `ring` has returned."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._wake.clear()
                wait_s = self._ring_due(ring)
                woken = asyncio.ensure_future(self._wake.wait())
                waits = {woken} if wait_s is None else {woken, asyncio.ensure_future(self._clock.sleep(wait_s))}
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()
        finally:
            self._loop = None
            for task in self._ringing:
                task.cancel()

    def _ring_due(self, ring: Callable[[Ring], Awaitable[None]]) -> float | None:
        """Start what is due. Returns seconds until the next look; None when nothing is set."""
        pending = self.pending()
        now = self._wall()
        for number, due, label, kind in pending:
            late_s = now - due.timestamp()
            if late_s < 0:
                break
            if number not in self._in_hand:
                self._in_hand[number] = 0
                task = asyncio.create_task(self._ring(ring, Ring(number, due, label, kind, late_s)))
                self._ringing.add(task)
                task.add_done_callback(self._ringing.discard)
        waiting = [due.timestamp() - now for number, due, _, _ in pending if number not in self._in_hand]
        return min(_RECHECK_S, max(0.0, min(waiting))) if waiting else None

    async def _ring(self, ring: Callable[[Ring], Awaitable[None]], what: Ring) -> None:
        while self._in_hand[what.number] < _TRIES:
            self._in_hand[what.number] += 1
            try:
                await ring(what)
                break
            except AudioError as error:  # nobody could hear it: it rings when the speaker is back, however late
                self._in_hand[what.number] -= 1
                log.warning("timer %d (%s) waits to ring: %s", what.number, what.label, error)
                await self._clock.sleep(_RECHECK_S)
            except Exception:
                log.exception("timer %d (%s) could not ring", what.number, what.label)
                await self._clock.sleep(_RECHECK_S)
        self._end(what.number, "rung")
        self._in_hand.pop(what.number, None)

    def _end(self, number: int, how: str) -> bool:
        with self._lock, translated(self.file):
            statement = "UPDATE timers SET ended = ? WHERE number = ? AND ended IS NULL"
            done = self._db.execute(statement, (how, number)).rowcount > 0
            self._countdowns.discard(number)
        self.wake()
        return done

    def _follow_clock(self) -> None:
        """Move countdowns along when the wall clock has jumped against the time that really passed."""
        offset = self._wall() - self._clock.monotonic()
        jump = offset - self._offset
        if abs(jump) < _JUMP_S:
            return
        self._offset = offset
        log.warning("the clock was put %+.0f s; countdowns keep their time", jump)
        moved = [(jump, number) for number in self._countdowns]
        self._db.executemany("UPDATE timers SET due = due + ? WHERE number = ?", moved)

    def _local(self, due: float) -> datetime:
        return datetime.fromtimestamp(due, UTC).astimezone(self._clock.now().tzinfo)

    def close(self) -> None:
        with self._lock:
            self._db.close()

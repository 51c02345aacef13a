"""The ledger: what was really executed. An append-only journal, on disk before and after every side effect.

SQLite in WAL mode with synchronous=FULL: a row that `begin` or `settle` returned for has reached the disk. Rows are only
ever added (triggers refuse the rest). A call is one row in `calls`; each thing learnt of it later is one row in `outcomes`.
One thread owns the connection and commits everything that waits for it together, so a slow card delays no other task.
Times are ISO 8601 with zone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from voice_needle.clock import Clock, RealClock
from voice_needle.dispatch.sqlite_file import move_aside, told
from voice_needle.errors import LedgerCorrupt, StorageError
from voice_needle.events import Call, Status
from voice_needle.tools import Tool

log = logging.getLogger(__name__)
T = TypeVar("T")
Mask = Callable[[Any], Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, turn INTEGER NOT NULL, plugin TEXT NOT NULL, tool TEXT NOT NULL,
  arguments TEXT NOT NULL, heard TEXT NOT NULL, idempotent INTEGER NOT NULL, undoes INTEGER REFERENCES calls(id)) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, call INTEGER NOT NULL REFERENCES calls(id), at TEXT NOT NULL, kind TEXT NOT NULL,
  result TEXT NOT NULL, error TEXT NOT NULL, undo TEXT) STRICT;
CREATE INDEX IF NOT EXISTS outcomes_by_call ON outcomes(call);
"""
_APPEND_ONLY = "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}"
    " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;"
    for table in ("calls", "outcomes")
    for verb in ("UPDATE", "DELETE")
)
# kinds of outcome besides the statuses of a call
UNKNOWN = "unknown"  # the power went while it ran
TOLD = "told"  # the user has been told of it
LATE = "late"  # something arrived after the call was settled


@dataclass(frozen=True)
class Entry:
    """One call as the ledger knows it. status: a Status value, "unknown", or "" while it runs."""

    id: int
    at: datetime
    turn: int
    plugin: str
    call: Call
    heard: str
    idempotent: bool
    status: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    undo: Call | None = None  # what would take it back
    undoes: int | None = None  # the entry that this one took back


class Ledger:
    """Open with `Ledger.open`. begin/settle are awaited from the loop; the reading methods block for a moment."""

    def __init__(
        self, file: Path, clock: Clock, *, moved_aside: Path | None, max_pages: int | None, mask: Mask
    ) -> None:
        self.file = file
        self.moved_aside = moved_aside  # where a damaged ledger was put; None when all was well
        self._clock = clock
        self._mask = mask
        self._work: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._opened: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, args=(max_pages,), name="ledger", daemon=True)
        self._thread.start()
        self.uid = self._opened.result()  # tells this file from another with the same row numbers

    @classmethod
    def open(
        cls, file: Path, clock: Clock | None = None, *, mask: Mask | None = None, max_pages: int | None = None
    ) -> Ledger:
        """Open or create. A damaged file is moved aside (`moved_aside` says where) and a new one is started.

        mask: takes the secrets out of whatever is written (Secrets.mask_deep). max_pages: refuse to grow over this many
        pages of 4096 bytes. Errors: LedgerFull; StorageError when the folder cannot be written.
        """
        clock = clock or RealClock()
        mask = mask or _as_it_is
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot create {file.parent}: {error.strerror}") from error
        try:
            return cls(file, clock, moved_aside=None, max_pages=max_pages, mask=mask)
        except LedgerCorrupt as error:
            aside = move_aside(file, clock.now())
            log.error("%s; moved to %s and started a new one", error, aside)
            return cls(file, clock, moved_aside=aside, max_pages=max_pages, mask=mask)

    # --- writing ---

    async def begin(self, tool: Tool, call: Call, *, turn: int = 0, heard: str = "", undoes: int | None = None) -> int:
        """Write down that `call` is about to be made. On disk when it returns its number. Errors: LedgerFull."""
        row = (
            self._clock.now().isoformat(), turn, tool.plugin, call.tool, _json(self._mask(call.arguments)), self._mask(heard),
            int(tool.policy.idempotent or not tool.policy.changes_state), undoes,
        )  # fmt: skip
        statement = (
            "INSERT INTO calls (at, turn, plugin, tool, arguments, heard, idempotent, undoes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        return await self._do(lambda db: int(db.execute(statement, row).lastrowid or 0))

    async def settle(
        self, entry: int, status: Status, values: Mapping[str, Any], error: str = "", undo: Call | None = None
    ) -> None:
        """Write down how it ended. On disk when it returns. Errors: LedgerFull."""
        await self._do(self._outcome(entry, status.value, values, error, undo))

    async def late(self, entry: int, status: Status, values: Mapping[str, Any], error: str = "") -> None:
        """Something arrived after the call was settled."""
        await self._do(self._outcome(entry, LATE, {"status": status.value, **values}, error, None))

    async def told(self, entry: int) -> None:
        """The user has been told that this call's end is unknown."""
        await self._do(self._outcome(entry, TOLD, {}, "", None))

    def _outcome(
        self, entry: int, kind: str, values: Mapping[str, Any], error: str, undo: Call | None
    ) -> Callable[[sqlite3.Connection], None]:
        plan = _json({"tool": undo.tool, "arguments": self._mask(undo.arguments)}) if undo else None
        row = (entry, self._clock.now().isoformat(), kind, _json(self._mask(values)), self._mask(error), plan)
        statement = "INSERT INTO outcomes (call, at, kind, result, error, undo) VALUES (?, ?, ?, ?, ?, ?)"

        def write(db: sqlite3.Connection) -> None:
            db.execute(statement, row)

        return write

    # --- after a restart ---

    def unsettled(self) -> list[Entry]:
        """Calls that were started and never settled: running now or, right after a start, cut off by the power."""
        return self._read("WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.call = c.id)", ())

    def recover(self) -> list[Entry]:
        """Run once at the start, before the first call: mark what the power cut off as unknown. Nothing is repeated.

        Returns the calls that the user has still to be told of (those that are not idempotent), oldest first; say each,
        then `told`.
        """

        def mark(db: sqlite3.Connection) -> None:
            for entry in _select(db, "WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.call = c.id)", ()):
                self._outcome(entry.id, UNKNOWN, {}, "", None)(db)

        self._do_now(mark)
        return self._read(
            "WHERE c.idempotent = 0 AND EXISTS (SELECT 1 FROM outcomes o WHERE o.call = c.id AND o.kind = 'unknown')"
            " AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.call = c.id AND o.kind = 'told')",
            (),
        )

    # --- reading ---

    def history(self, limit: int = 20) -> list[Entry]:
        """The latest calls, newest first."""
        return self._read("ORDER BY c.id DESC LIMIT ?", (limit,))

    def entry(self, number: int) -> Entry | None:
        found = self._read("WHERE c.id = ?", (number,))
        return found[0] if found else None

    def last_done(self, since: datetime | None = None) -> Entry | None:
        """The latest call that did something (or may have) and was not taken back: what "undo" means. Undos are passed over.

        since: not older than this.
        """
        found = self._read(
            "WHERE c.undoes IS NULL"
            " AND EXISTS (SELECT 1 FROM outcomes o WHERE o.call = c.id"
            "  AND o.kind IN ('ok', 'partial', 'unconfirmed', 'timeout', 'unknown'))"
            " AND NOT EXISTS (SELECT 1 FROM calls u JOIN outcomes o ON o.call = u.id"
            "  WHERE u.undoes = c.id AND o.kind = 'ok') ORDER BY c.id DESC LIMIT 1",
            (),
        )
        return found[0] if found and (since is None or found[0].at >= since) else None

    def _read(self, tail: str, values: Sequence[Any]) -> list[Entry]:
        return self._do_now(lambda db: _select(db, tail, values))

    # --- the thread that owns the connection ---

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        self._work.put((work, future))
        return await asyncio.wrap_future(future)

    def _do_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future.result()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._work.put(None)
        self._thread.join()

    def _run(self, max_pages: int | None) -> None:
        try:
            db = _connect(self.file, max_pages)
            uid = str(db.execute("SELECT value FROM about WHERE key = 'uid'").fetchone()[0])
        except Exception as error:  # handed to whoever opens
            self._opened.set_exception(told(error, self.file))
            return
        self._opened.set_result(uid)
        open_ = True
        while open_:
            batch = [self._work.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    batch.append(self._work.get_nowait())
            open_ = None not in batch
            _commit(db, [item for item in batch if item is not None], self.file)
        db.close()


def _commit(
    db: sqlite3.Connection, batch: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]], file: Path
) -> None:
    """Do all of it in one transaction; should that fail, each in its own, so that one cannot take others down."""
    batch = [(work, future) for work, future in batch if future.set_running_or_notify_cancel()]
    if not batch:
        return
    try:
        db.execute("BEGIN IMMEDIATE")
        results = [work(db) for work, _ in batch]
        db.execute("COMMIT")
    except Exception as error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        if len(batch) == 1:
            batch[0][1].set_exception(told(error, file))
            return
        for work, future in batch:
            retry: Future[Any] = future
            _commit_one(db, work, retry, file)
        return
    for (_, future), result in zip(batch, results, strict=True):
        future.set_result(result)


def _commit_one(
    db: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any], future: Future[Any], file: Path
) -> None:
    try:
        db.execute("BEGIN IMMEDIATE")
        result = work(db)
        db.execute("COMMIT")
    except Exception as error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        future.set_exception(told(error, file))
    else:
        future.set_result(result)


def _connect(file: Path, max_pages: int | None) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level=None, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if max_pages is not None:
            db.execute(f"PRAGMA max_page_count = {int(max_pages)}")
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        db.executescript(_SCHEMA + _APPEND_ONLY)
        db.execute("INSERT OR IGNORE INTO about VALUES ('uid', ?)", (uuid.uuid4().hex[:8],))
    except BaseException:
        db.close()
        raise
    return db


def _select(db: sqlite3.Connection, tail: str, values: Sequence[Any]) -> list[Entry]:
    """Calls with their first settling outcome."""
    rows = db.execute(
        "SELECT c.id, c.at, c.turn, c.plugin, c.tool, c.arguments, c.heard, c.idempotent, c.undoes,"
        " (SELECT json_array(o.kind, o.result, o.error, o.undo) FROM outcomes o"
        "  WHERE o.call = c.id AND o.kind NOT IN ('told', 'late') ORDER BY o.id LIMIT 1)"
        f" FROM calls c {tail}",
        values,
    ).fetchall()
    entries = []
    for number, at, turn, plugin, tool, arguments, heard, idempotent, undoes, outcome in rows:
        kind, result, error, undo = json.loads(outcome) if outcome else ("", "{}", "", None)
        plan = json.loads(undo) if undo else None
        entries.append(
            Entry(
                id=number,
                at=datetime.fromisoformat(at),
                turn=turn,
                plugin=plugin,
                call=Call(tool, json.loads(arguments)),
                heard=heard,
                idempotent=bool(idempotent),
                status=kind,
                values=json.loads(result),
                error=error,
                undo=Call(plan["tool"], plan["arguments"]) if plan else None,
                undoes=undoes,
            )
        )
    return entries


def _as_it_is(value: Any) -> Any:
    return value


def _json(value: Any) -> str:
    return json.dumps(dict(value), default=str, ensure_ascii=False)

"""What was said while the stock database was out of reach: kept on this device's disk, sent in order when it is back.

A booking is on disk before `add` returns. It may be sent more than once, since nobody knows whether the last try arrived;
it is made once, because the database knows its call_id. Also keeps what must survive being offline: item names, the pick
list in hand.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .stock import Booking

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, call_id TEXT NOT NULL UNIQUE, booking TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'refused')), answer TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX IF NOT EXISTS queue_waiting ON queue(id) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Noted:
    """A booking that waits to be sent."""

    id: int
    booking: Booking


class Outbox:
    """One file. Methods may be called from any thread and block for a disk write."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=5.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def add(self, booking: Booking) -> None:
        """Note a booking; one that is noted already stays as it is."""
        row = (booking.call_id, json.dumps(booking.as_dict()))
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO queue (call_id, booking) VALUES (?, ?)", row)

    def waiting(self, most: int = -1) -> list[Noted]:
        """In the order in which they were said; at most so many."""
        query = "SELECT id, booking FROM queue WHERE state = 'waiting' ORDER BY id LIMIT ?"
        with self._lock:
            rows = self._db.execute(query, (most,)).fetchall()
        return [Noted(number, Booking.from_dict(json.loads(text))) for number, text in rows]

    def count(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM queue WHERE state = 'waiting'").fetchone()[0])

    def settle(self, noted: Noted, state: str, answer: str) -> None:
        """state: sent | refused. answer: what came of it, kept for whoever looks into the file."""
        with self._lock:
            self._db.execute("UPDATE queue SET state = ?, answer = ? WHERE id = ?", (state, answer, noted.id))

    def refused(self) -> list[tuple[Booking, str]]:
        """Noted bookings that the database refused later, with the reason."""
        with self._lock:
            rows = self._db.execute("SELECT booking, answer FROM queue WHERE state = 'refused' ORDER BY id").fetchall()
        return [(Booking.from_dict(json.loads(text)), answer) for text, answer in rows]

    def keep(self, name: str, value: Any) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, json.dumps(value)))

    def kept(self, name: str) -> Any:
        with self._lock:
            row = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def close(self) -> None:
        with self._lock:
            self._db.close()

"""What the ledger and the timers share: SQLite's errors in our words, and a damaged file put aside."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from voice_needle.errors import LedgerCorrupt, LedgerFull, StorageError

_ROOM = 1 << 20  # bytes


def told(error: Exception, file: Path) -> Exception:
    """An error of SQLite as one of voice_needle.errors; any other error as it is."""
    if not isinstance(error, sqlite3.Error):
        return error
    text = str(error)
    if "full" in text or ("disk I/O error" in text and _no_room(file)):
        return LedgerFull(f"no room to write {file}: {text}")
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return LedgerCorrupt(f"{file} is damaged: {text}")
    return StorageError(f"{file}: {text}")


def _no_room(file: Path) -> bool:
    """Whether the disk is full: SQLite calls that an I/O error where it happens while it writes its journal."""
    try:
        return shutil.disk_usage(file.parent).free < _ROOM
    except OSError:
        return False


@contextlib.contextmanager
def translated(file: Path) -> Iterator[None]:
    """Errors: LedgerFull, LedgerCorrupt, StorageError in place of SQLite's own."""
    try:
        yield
    except sqlite3.Error as error:
        raise told(error, file) from error


def move_aside(file: Path, now: datetime) -> Path:
    """Rename a damaged file and its journal; the name says when. Returns the new name."""
    aside = file.with_name(f"{file.name}.damaged-{now:%Y%m%d-%H%M%S}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            file.with_name(file.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside

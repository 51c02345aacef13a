"""The way to the stock database: SQLite in the plugin's own folder, or PostgreSQL by URL. Knows when it is offline.

Work runs in a thread with a deadline, because a database that was paused or cut off answers nothing at all, not even an
error. A transaction that is given up may still be committed later; that is harmless, since every booking happens once.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from voice_needle.errors import ConfigError, ToolFailed

from .stock import Conflict

T = TypeVar("T")
_RACES = frozenset({"40001", "40P01"})  # serialization failure, deadlock: PostgreSQL manual, appendix A
_CONFLICTS = 60  # times a booking is done again because somebody was faster
_BROKEN = 4  # times it is done again on a fresh connection
_HANGING = 3  # questions given up on before a dead database is not even asked


class Offline(Exception):
    """The database could not be reached, or did not answer in time."""


def database_url(given: str, data_dir: Path, password: str | None = None) -> URL:
    """The setting as a URL; empty: stock.db in the plugin's folder. Errors: ConfigError."""
    if not given:
        return URL.create("sqlite", database=str(data_dir / "stock.db"))
    try:
        url = make_url(given)
    except ArgumentError as error:
        raise ConfigError(
            f"'{given}' is not a database URL", fix="plugins.warehouse.database: postgresql://user@host/name"
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url.set(password=password) if password else url


class Central:
    """One database. budget_s: how long a caller waits before it counts as offline."""

    def __init__(self, url: URL, budget_s: float = 2.0) -> None:
        self.url = url
        self._budget_s = budget_s
        self._hanging = 0
        try:
            self.engine = create_engine(
                url, pool_size=4, max_overflow=4, pool_timeout=budget_s, connect_args=_arguments(url, budget_s)
            )
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ToolFailed(
                f"no driver for {url.drivername}: {error}", fix="pip install 'voice-needle[postgresql]'"
            ) from error
        if self.embedded:
            event.listen(self.engine, "connect", _sqlite_connect)
            event.listen(self.engine, "begin", _sqlite_begin)

    @property
    def embedded(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, again after a conflict or a broken connection. Errors: Offline, ToolFailed."""
        if self._hanging >= _HANGING:
            raise Offline(f"{self._hanging} questions are still unanswered")
        future: Future[T] = Future()
        threading.Thread(target=self._serve, args=(work, future), name="stock database", daemon=True).start()
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=self._budget_s)
        if not done:
            self._hanging += 1
            waiting.add_done_callback(self._answered_late)
            raise Offline(f"no answer in {self._budget_s} s")
        return waiting.result()

    def _answered_late(self, late: asyncio.Future[Any]) -> None:
        self._hanging -= 1
        if not late.cancelled():
            late.exception()  # of no interest any more

    def _serve(self, work: Callable[[Connection], T], future: Future[T]) -> None:
        try:
            result = self.run_here(work)
        except BaseException as error:  # handed to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)

    def run_here(self, work: Callable[[Connection], T]) -> T:
        """As `run`, in the caller's thread and without a deadline."""
        conflicts = broken = 0
        until = time.monotonic() + self._budget_s
        while True:
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except (Conflict, IntegrityError) as error:
                conflicts += 1
                if conflicts > _CONFLICTS:
                    raise ToolFailed(
                        f"the stock row could not be changed: {error}",
                        spoken="The stock system did not take it. Nothing was changed.",
                    ) from error
                time.sleep(random.uniform(0, 0.002 * min(conflicts, 10)))
            except PoolTimeout as error:
                raise Offline(str(error)) from error
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _RACES:
                    conflicts += 1
                    continue
                if not _away(error):
                    raise ToolFailed(
                        f"the stock database said: {error.orig}",
                        spoken="The stock system gave an answer that I cannot use. Nothing was changed.",
                    ) from error
                broken += 1
                if broken >= _BROKEN or time.monotonic() > until:
                    raise Offline(str(error.orig)) from error
                time.sleep(0.02 * broken)

    def close(self) -> None:
        self.engine.dispose()


def _away(error: DBAPIError) -> bool:
    """Whether the error means that the database is not there, rather than that it objects."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or state[:2] in ("08", "53", "57", "58"):
        return True
    return isinstance(error, OperationalError) and not state


def _arguments(url: URL, budget_s: float) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": budget_s, "check_same_thread": False}
    limit_ms = int(budget_s * 1000)
    return {
        "connect_timeout": max(2, round(budget_s)),
        "tcp_user_timeout": limit_ms,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "options": f"-c statement_timeout={limit_ms} -c idle_in_transaction_session_timeout={limit_ms * 2}",
    }


def _sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

"""For the scenarios: an embedded stock database with the sample in it, and what is in it after a request."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, func, select

from . import sample
from .tables import bookings, metadata, movements, pick_lines, stock


class Warehouse:
    """effect: {A14: {472-B: 635}, bookings: 1, noted: 0, lines: {417: [done, open, open]}}, in any combination."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "stock.db"
        self.settings: Mapping[str, Any] = {"database": f"sqlite:///{self.file}", "patience_s": 1.0, "sample": True}
        self._engine: Engine = create_engine(f"sqlite:///{self.file}")
        self._lock: sqlite3.Connection | None = None

    async def reset(self, tooling: Any) -> None:
        await self.prepare({"locked": False})
        with self._engine.begin() as db:
            for table in reversed(metadata.sorted_tables):
                db.execute(table.delete())
            sample.fill(db)
        outbox = _state(tooling)["store"].outbox
        outbox.keep("pick list", None)
        for noted in outbox.waiting():
            outbox.settle(noted, "refused", "the scenario is over")

    async def prepare(self, wanted: Mapping[str, Any]) -> None:
        """locked: another program holds the database, so that nobody else gets in."""
        for key, value in wanted.items():
            if key != "locked":
                raise ValueError(f"the warehouse cannot be {key}")
            if value and self._lock is None:
                self._lock = sqlite3.connect(self.file, isolation_level=None)
                self._lock.execute("BEGIN EXCLUSIVE")
            elif not value and self._lock is not None:
                self._lock.execute("ROLLBACK")
                self._lock.close()
                self._lock = None

    async def check(self, effect: Mapping[str, Any], tooling: Any) -> str:
        wrong: list[str] = []
        with self._engine.connect() as db:
            for key, wanted in effect.items():
                if key == "bookings":
                    found: Any = db.execute(select(func.count()).select_from(bookings)).scalar_one()
                elif key == "noted":
                    found = _state(tooling)["store"].outbox.count()
                elif key == "lines":
                    found = {code: _states(db, str(code)) for code in wanted}
                else:
                    held = db.execute(select(stock.c.sku, stock.c.quantity).where(stock.c.bin == key))
                    quantities: dict[str, int] = {row.sku: row.quantity for row in held}
                    found = {sku: quantities.get(sku, 0) for sku in wanted}
                if found != wanted:
                    wrong.append(f"{key}: expected {wanted}, found {found}")
            wrong += _trail(db)
        return "; ".join(wrong)

    def close(self) -> None:
        self._engine.dispose()


def _state(tooling: Any) -> Any:
    return tooling.hosts.host("warehouse").context.state


def _states(db: Any, code: str) -> list[str]:
    lines = select(pick_lines.c.state).where(pick_lines.c.list == code).order_by(pick_lines.c.position)
    return [row.state for row in db.execute(lines)]


def _trail(db: Any) -> list[str]:
    """Where stock and trail disagree: the last movement of a row must have left what is there now."""
    last = select(func.max(movements.c.id)).group_by(movements.c.sku, movements.c.bin)
    wrong = []
    for row in db.execute(select(movements).where(movements.c.id.in_(last))).mappings().all():
        here = (stock.c.sku == row["sku"]) & (stock.c.bin == row["bin"])
        held = db.execute(select(stock.c.quantity).where(here)).scalar_one()
        if held != row["quantity_after"]:
            wrong.append(f"{row['sku']} in {row['bin']}: {held} in stock, {row['quantity_after']} in the trail")
    return wrong


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[Warehouse]:
    warehouse = Warehouse(folder)
    try:
        yield warehouse
    finally:
        await warehouse.prepare({"locked": False})
        warehouse.close()

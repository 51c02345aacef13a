"""The world that the desk's scenarios act on: the dispatcher's own timers, and the lists' database as another program sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from voice_needle.assembly import Tooling


class World:
    """effect: timers: [[kind, label, due as ISO without zone]...], lists: {name: [items]}."""

    settings: Mapping[str, Any] = {}

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def reset(self, tooling: Tooling) -> None:
        for number, *_ in tooling.timers.pending():
            tooling.timers.cancel(number)
        if (file := self._file()) is not None:
            with closing(sqlite3.connect(file)) as lists, lists:
                lists.execute("DELETE FROM entries")

    def _file(self) -> Path | None:
        return next(self._folder.rglob("lists.db"), None)

    async def prepare(self, wanted: Mapping[str, Any]) -> None:
        raise ValueError(f"the desk's world has no {', '.join(wanted)}")

    async def check(self, effect: Mapping[str, Any], tooling: Tooling) -> str:
        wrong = []
        if "timers" in effect:
            pending = tooling.timers.pending()
            found = [[kind, label, due.replace(tzinfo=None).isoformat()] for _, due, label, kind in pending]
            if found != effect["timers"]:
                wrong.append(f"timers are {found}")
        for name, items in (effect.get("lists") or {}).items():
            held = self._entries(name)
            if held != items:
                wrong.append(f"{name} holds {held}")
        return "; ".join(wrong)

    def _entries(self, name: str) -> list[str]:
        if (file := self._file()) is None:
            return []
        with closing(sqlite3.connect(file)) as lists:
            return [row[0] for row in lists.execute("SELECT item FROM entries WHERE list = ? ORDER BY id", (name,))]


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    yield World(folder)

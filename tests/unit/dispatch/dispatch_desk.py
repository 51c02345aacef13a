"""What a dispatch test works at: plugins it writes itself, and a dispatcher over them with its own ledger and timers."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voice_needle.clock import Clock
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.registry import Registry
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import TimerStore
from voice_needle.events import Call, Event, ToolResult
from voice_needle.secrets import Secrets

START = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class Desk:
    """Everything a dispatch test touches."""

    def __init__(self, folder: Path, clock: Clock, **options: Any) -> None:
        self.folder = folder
        self.plugins = folder / "tools.d"
        self.plugins.mkdir(exist_ok=True)
        self.clock = clock
        self.events: list[Event] = []
        self.options = options
        self.settings: dict[str, dict[str, Any]] = {}
        self.secrets = Secrets()

    def plugin(self, name: str, manifest: str, handlers: str = "", **files: str) -> Path:
        folder = self.plugins / name
        folder.mkdir(exist_ok=True)
        head = f"plugin: {name}\ndescription: A plugin for a test.\n"
        (folder / "plugin.yaml").write_text(head + textwrap.dedent(manifest))
        if handlers:
            (folder / "handlers.py").write_text(textwrap.dedent(handlers))
        for file, text in files.items():
            (folder / file).write_text(textwrap.dedent(text))
        return folder

    def open(self) -> Desk:
        self.registry = Registry([self.plugins], cache=self.folder / "cache")
        assert not self.registry.problems, "\n".join(map(str, self.registry.problems))
        self.ledger = Ledger.open(self.folder / "ledger.sqlite", self.clock, mask=self.secrets.mask_deep)
        self.timers = TimerStore(self.folder / "timers.sqlite", self.clock)
        self.hosts = Hosts(
            self.registry, self.clock, self.timers, self.folder / "data", settings=self.settings, secrets=self.secrets
        )
        self.dispatcher = Dispatcher(
            self.registry, self.ledger, self.hosts, self.clock, self.events.append, **self.options
        )
        return self

    async def do(self, *calls: Call | str, **options: Any) -> list[ToolResult]:
        return await self.dispatcher.execute(
            [call if isinstance(call, Call) else Call(call) for call in calls], **options
        )

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def written(self) -> Path:
        """A file that handlers append to: the effect that the tests look at."""
        return self.folder / "written.txt"

    def lines(self) -> list[str]:
        return self.written.read_text().splitlines() if self.written.exists() else []


async def until(holds: Callable[[], object]) -> None:
    """Wait for what another thread or process does."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (nothing in this loop could set an event)
            await asyncio.sleep(0.002)

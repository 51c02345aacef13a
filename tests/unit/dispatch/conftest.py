"""Fixtures of the dispatch tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from dispatch_desk import START, Desk

from voice_needle.clock import RealClock, ScriptedClock


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, RealClock())
    yield desk
    if hasattr(desk, "dispatcher"):
        await desk.dispatcher.close()
        desk.timers.close()


@pytest_asyncio.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[Desk]:
    """The same with a clock that only moves when told."""
    desk = Desk(tmp_path, ScriptedClock(START))
    yield desk
    if hasattr(desk, "dispatcher"):
        await desk.dispatcher.close()
        desk.timers.close()

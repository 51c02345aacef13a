"""A plugin that is added while the assistant listens becomes heard and routed; a broken one disturbs nobody."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from voice_needle import memory, upkeep
from voice_needle.assembly import attend, open_tooling
from voice_needle.cli.scaffold import write_plugin
from voice_needle.clock import RealClock, ScriptedClock
from voice_needle.config import Config, Dispatch
from voice_needle.dispatch.registry import Registry
from voice_needle.tools import Toolset
from voice_needle.upkeep import TIDY_S, at_start, keep_fresh, tidy
from voice_needle.workers import Workers


class Student:
    """Remembers what it was prepared for; stands for a recogniser and a router alike."""

    def __init__(self) -> None:
        self.taught: list[set[str]] = []
        self.learnt = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def prepare(self, tools: Toolset) -> None:
        self.taught.append(set(tools))
        self._loop.call_soon_threadsafe(self.learnt.set)


async def test_a_new_plugin_is_taught_to_both_models(tmp_path: Path):
    folder = tmp_path / "tools"
    write_plugin(folder / "pantry", "pantry")
    registry = Registry([folder], cache=tmp_path / "cache")
    workers = Workers()
    async with open_tooling(Config(data_dir=tmp_path / "data"), RealClock(), registry=registry) as tooling:
        assert at_start(tooling) == []
        hears, decides = Student(), Student()
        task = asyncio.ensure_future(keep_fresh(tooling, hears, decides, workers, every_s=0.01))  # type: ignore[arg-type]
        write_plugin(folder / "cellar", "cellar")
        await asyncio.wait_for(decides.learnt.wait(), 20)
        assert hears.taught[-1] == {"pantry_note", "pantry_ask", "cellar_note", "cellar_ask"} == decides.taught[-1]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    workers.close()


class SlowStudent(Student):
    """A recogniser that compiles: not while its thread could be listening, and not under the watchdog's eye."""

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self.compiled: list[tuple[set[str], float, int]] = []
        self._workers = workers

    def compile_ahead(self, tools: Toolset) -> None:
        self.compiled.append((set(tools), self._workers.stuck_s, len(self.taught)))


async def test_new_words_are_compiled_before_the_recogniser_stops_listening(tmp_path: Path):
    folder = tmp_path / "tools"
    write_plugin(folder / "pantry", "pantry")
    registry = Registry([folder], cache=tmp_path / "cache")
    workers = Workers()
    async with open_tooling(Config(data_dir=tmp_path / "data"), RealClock(), registry=registry) as tooling:
        hears, decides = SlowStudent(workers), Student()
        task = asyncio.ensure_future(keep_fresh(tooling, hears, decides, workers, every_s=0.01))  # type: ignore[arg-type]
        write_plugin(folder / "cellar", "cellar")
        await asyncio.wait_for(decides.learnt.wait(), 20)
        assert hears.compiled[0] == (hears.taught[0], 0.0, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    workers.close()


async def test_what_is_broken_is_said_at_the_start(tmp_path: Path):
    folder = tmp_path / "tools"
    write_plugin(folder / "pantry", "pantry")
    (folder / "attic").mkdir()
    (folder / "attic" / "plugin.yaml").write_text("plugin: attic\ntols: {}\n")
    registry = Registry([folder], cache=tmp_path / "cache")
    config = Config(data_dir=tmp_path / "data", dispatch=Dispatch(plugins=["pantry", "attic"]))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.db").write_bytes(b"not a database" * 100)
    async with open_tooling(config, RealClock(), registry=registry) as tooling:
        said = at_start(tooling)
        assert set(registry.offered()) == {"pantry_note", "pantry_ask"}
    assert len(said) == 2
    assert "journal was damaged" in said[0]
    assert "plugin attic" in said[1]


async def test_free_memory_goes_back_once_after_what_was_said_and_never_while_somebody_speaks(monkeypatch: pytest.MonkeyPatch):
    trimmed: list[int] = []
    clock, workers = ScriptedClock(datetime(2026, 11, 21, tzinfo=UTC)), Workers()
    assistant: Any = SimpleNamespace(turns=0, idle=True, clock=clock, workers=workers)
    monkeypatch.setattr(memory, "trim", lambda: trimmed.append(assistant.turns))

    async def later() -> list[int]:
        await clock.advance(TIDY_S + 1)
        await workers.quiet()
        return trimmed

    task = asyncio.ensure_future(tidy(assistant))
    assert await later() == []  # nothing was said yet
    assistant.turns, assistant.idle = 1, False
    assert await later() == []
    assistant.idle = True
    assert await later() == [1] and await later() == [1]
    assistant.turns = 3
    assert await later() == [1, 3]
    task.cancel()
    workers.close()


@pytest.mark.parametrize("live", [False, True])
async def test_every_assistant_is_tidied_up_after(live: bool, monkeypatch: pytest.MonkeyPatch):
    begun: list[str] = []

    async def forever(name: str, *_: Any) -> None:
        begun.append(name)
        await asyncio.Event().wait()

    monkeypatch.setattr(upkeep, "tidy", lambda *some: forever("tidy"))
    monkeypatch.setattr(upkeep, "keep_fresh", lambda *some: forever("keep fresh"))
    monkeypatch.setattr(upkeep, "at_start", lambda tooling: [])
    tooling: Any = SimpleNamespace(
        timers=SimpleNamespace(run=lambda ring: forever("timers")), dispatcher=SimpleNamespace(recover=list), troubles=[]
    )
    router = SimpleNamespace(router=None)
    assistant: Any = SimpleNamespace(ring=None, parts=SimpleNamespace(recogniser=None, conversation=router, workers=None))
    async with AsyncExitStack() as stack:
        attend(stack, assistant, tooling, live=live)
        await asyncio.sleep(0)
        assert begun == ["timers", "tidy"] + ["keep fresh"] * live

"""Runs a plugin's scenarios.yaml for real: utterance -> exact call -> real effect in a real back end -> what is said.

scenarios.yaml is a list of steps:

    - say: turn on the kitchen light
      calls: [{tool: light_switch, arguments: {room: kitchen, state: on}}]    # exactly these, in order; [] for none
      outcome: act                    # act | confirm | ask | decline
      effect: {kitchen light: {state: ON}}    # what the plugin's effects.py checks; optional
      said: The lights in the kitchen are on.    # the whole answer; optional
      room: kitchen                   # where the device stands; nowhere by default
      status: ok                      # of every call that was made; optional
      world: {slow: true}             # handed to the world before the words are said; optional
      after_s: 60                     # seconds that pass before; optional
      then: [...]                     # further steps of the same conversation; outcome and calls are optional in them

A step whose outcome is not `act` must have made no call at all. effects.py of the plugin has

    @asynccontextmanager
    async def world(folder: Path) -> AsyncIterator[World]: ...

which starts the back end (a broker, a database, a bus) with temporary data in `folder`, and stops it at the end.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from voice_needle.assembly import Tooling, open_registry, open_tooling
from voice_needle.clock import RealClock
from voice_needle.config import Config, Dispatch
from voice_needle.conversation import Conversation, Phraser
from voice_needle.dispatch import yaml_lines
from voice_needle.errors import ConfigError
from voice_needle.events import Transcript
from voice_needle.route.engine import Router
from voice_needle.speak.phrasing import Phrasebook
from voice_needle.turn import Scope, Turn
from voice_needle.workers import Workers

FILE_NAME = "scenarios.yaml"
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)  # a Saturday
_KEYS = frozenset(["say", "calls", "outcome", "effect", "said", "room", "status", "world", "after_s", "then"])


class World(Protocol):
    """The back end that a plugin's scenarios act on."""

    settings: Mapping[str, Any]  # of the plugin, over its defaults

    async def reset(self, tooling: Tooling) -> None:
        """As it was at first: before each scenario."""
        ...

    async def prepare(self, wanted: Mapping[str, Any]) -> None:
        """Make the world of a step's `world` key. Errors: ValueError for what it cannot be."""
        ...

    async def check(self, effect: Mapping[str, Any], tooling: Tooling) -> str:
        """Why the back end is not as `effect` says; "" when it is."""
        ...


@dataclass(frozen=True)
class Outcome:
    """One scenario and what was wrong with it (nothing, when it passed)."""

    plugin: str
    say: str
    tools: tuple[str, ...]
    problems: tuple[str, ...]
    elapsed_ms: float

    @property
    def passed(self) -> bool:
        return not self.problems


class StudioClock(RealClock):
    """Time that stands still unless told to pass, so that what is said about it is exact; only waiting really waits."""

    def __init__(self, start: datetime = START) -> None:
        self._start = self._now = start
        self._monotonic_s = 0.0

    def monotonic(self) -> float:
        return self._monotonic_s

    def now(self) -> datetime:
        return self._now

    def pass_s(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds

    def rewind(self) -> None:
        """The wall clock as at first; the monotonic one never goes back."""
        self._now = self._start


@dataclass
class Stage:
    """Everything one plugin's scenarios run on."""

    plugin: str
    world: World
    tooling: Tooling
    router: Router
    clock: StudioClock
    workers: Workers
    phraser: Phraser
    turns: int = 0

    def conversation(self, room: str | None) -> Conversation:
        return Conversation(
            router=self.router, tools=self.tooling.registry.offered, dispatcher=self.tooling.dispatcher,
            phraser=self.phraser, workers=self.workers, clock=self.clock, room=room,
        )  # fmt: skip


@dataclass
class _Notes:
    """What was wrong, gathered over the steps of one scenario."""

    problems: list[str] = field(default_factory=list)

    def expect(self, what: str, wanted: Any, found: Any) -> None:
        if wanted != found:
            self.problems.append(f"{what}: expected {wanted!r}, got {found!r}")


def load(folder: Path) -> list[dict[str, Any]]:
    """The scenarios of a plugin folder. Errors: ConfigError for a file that is not that."""
    file = folder / FILE_NAME
    document = yaml_lines.read(file.read_text(encoding="utf-8"))
    mistakes = [f"{file}:{line}: {message}" for line, message in document.mistakes]
    for number, step in enumerate(document.value if isinstance(document.value, list) else ["no list"]):
        if not isinstance(step, dict) or not isinstance(step.get("say"), str):
            mistakes.append(f"{file}:{document.line((number,))}: a scenario needs `say`")
        elif unknown := sorted(set(step) - _KEYS):
            mistakes.append(f"{file}:{document.line((number,))}: unknown key `{unknown[0]}`")
    if mistakes:
        raise ConfigError("\n".join(mistakes), fix=f"edit {file}")
    return list(document.value)


@asynccontextmanager
async def open_stage(
    plugin: str, router: Router | None = None, others: Sequence[str] = (), tools_dir: Path | None = None
) -> AsyncIterator[Stage]:
    """A plugin with its real back end, an empty ledger and the templates router.

    others: plugins offered beside it. tools_dir: one more folder of plugins to find it in.
    """
    from voice_needle.route import get_router

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = _config(Config(), data_dir=folder / "data", dispatch=Dispatch(tools_dir=tools_dir))
        registry = open_registry(config, [plugin, *others])
        if plugin not in registry.plugins:
            raise ConfigError("\n".join(map(str, registry.problems)), fix="voice-needle tools check")
        async with effects_of(plugin, registry.plugins[plugin].folder).world(folder) as world:
            config = _config(config, plugins={plugin: dict(world.settings)})
            clock = StudioClock()
            async with open_tooling(config, clock, registry=registry) as tooling:
                workers = Workers()
                try:
                    chosen = router or get_router("templates")
                    yield Stage(plugin, world, tooling, chosen, clock, workers, Phrasebook(clock))
                finally:
                    workers.close()


def _config(config: Config, **changes: Any) -> Config:
    return replace(config, **changes)


def effects_of(plugin: str, folder: Path) -> Any:
    """effects.py of a plugin, imported as a part of its folder so that `from . import ...` works in it."""
    name = f"voice_needle_scenarios_{plugin}"
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{name}.effects")


async def run(stage: Stage, scenario: Mapping[str, Any]) -> Outcome:
    """One scenario: its own conversation, a world as at first."""
    started = time.perf_counter()
    notes = _Notes()
    await stage.world.reset(stage.tooling)
    stage.clock.rewind()
    conversation = stage.conversation(scenario.get("room"))
    steps = [scenario, *scenario.get("then", ())]
    for step in steps:
        await _step(stage, conversation, step, notes)
    tools = [str(call["tool"]) for step in steps for call in step.get("calls") or ()]
    elapsed_ms = (time.perf_counter() - started) * 1000
    return Outcome(stage.plugin, str(scenario["say"]), tuple(dict.fromkeys(tools)), tuple(notes.problems), elapsed_ms)


async def _step(stage: Stage, conversation: Conversation, step: Mapping[str, Any], notes: _Notes) -> None:
    if "world" in step:
        await stage.world.prepare(step["world"])
    stage.clock.pass_s(float(step.get("after_s", 0.0)))
    stage.turns += 1
    turn = Turn(Scope(stage.turns), stage.clock.monotonic())
    answer = await conversation.respond(turn, Transcript(str(step["say"])))
    decision = turn.decision
    assert decision is not None
    if "outcome" in step:
        notes.expect(f"{step['say']!r}: outcome", step["outcome"], decision.outcome.value)
    made = [{"tool": result.call.tool, "arguments": dict(result.call.arguments)} for result in turn.results]
    if "calls" in step:
        found = [{"tool": call.tool, "arguments": dict(call.arguments)} for call in decision.calls]
        wanted = [{"tool": call["tool"], "arguments": dict(call.get("arguments") or {})} for call in step["calls"]]
        notes.expect(f"{step['say']!r}: calls", wanted, found)
        if step.get("outcome") == "act":
            notes.expect(f"{step['say']!r}: calls made", wanted, made)
    if step.get("outcome", "act") != "act":
        notes.expect(f"{step['say']!r}: calls made", [], made)
    if "status" in step:
        notes.expect(f"{step['say']!r}: status", [step["status"]] * len(made), [r.status.value for r in turn.results])
    if "said" in step:
        notes.expect(f"{step['say']!r}: said", step["said"], answer.text)
    if "effect" in step and (wrong := await stage.world.check(step["effect"], stage.tooling)):
        notes.problems.append(f"{step['say']!r}: effect: {wrong}")


async def run_plugin(plugin: str, router: Router | None = None) -> list[Outcome]:
    """Every scenario of a bundled or installed plugin. Errors: ConfigError."""
    async with open_stage(plugin, router) as stage:
        return [await run(stage, scenario) for scenario in load(stage.tooling.registry.plugins[plugin].folder)]


async def run_folder(folder: Path, router: Router | None = None) -> list[Outcome]:
    """Every scenario of the plugin in `folder`, wherever it lies. Errors: ConfigError."""
    async with open_stage(folder.name, router, tools_dir=folder.parent) as stage:
        return [await run(stage, scenario) for scenario in load(folder)]


def table(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `voice-needle eval scenarios --json` prints: counts by plugin and tool, and every failure."""
    plugins: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        row = plugins.setdefault(outcome.plugin, {"scenarios": 0, "passed": 0, "tools": {}})
        row["scenarios"] += 1
        row["passed"] += outcome.passed
        for tool in outcome.tools or ("(none)",):
            counts = row["tools"].setdefault(tool, {"scenarios": 0, "passed": 0})
            counts["scenarios"] += 1
            counts["passed"] += outcome.passed
    failures = [
        {"plugin": outcome.plugin, "say": outcome.say, "problems": list(outcome.problems)}
        for outcome in outcomes
        if not outcome.passed
    ]
    return {
        "scenarios": len(outcomes),
        "passed": sum(outcome.passed for outcome in outcomes),
        "plugins": plugins,
        "failures": failures,
    }

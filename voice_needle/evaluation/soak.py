"""Days of listening in minutes: the whole assistant on a simulated sound card, with real models, ledger, timers and broker.

Silence goes through the real voice-activity detector and endpointer, frame by frame, on a scripted clock; what is said goes through
the real recogniser, router, policies, ledger and tools, while that clock stands still. Faults come as soak_day has them.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from voice_needle import memory
from voice_needle.assembly import Tooling, attend, open_parts, open_registry, open_tooling
from voice_needle.clock import ScriptedClock
from voice_needle.config import Config
from voice_needle.dispatch.host import Host
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.timers import Ring
from voice_needle.evaluation.soak_card import CardMicrophone, CardSpeaker
from voice_needle.evaluation.soak_day import Happening, happenings
from voice_needle.evaluation.soak_report import judge
from voice_needle.evaluation.synthetic_speech import pink_noise, speak
from voice_needle.events import CallEnded, Event, Fault, SpeechStarted
from voice_needle.plugin import Context, Result
from voice_needle.tools import Tool
from voice_needle.workers import Workers

START = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
PLUGINS = ("home", "desk")
SAMPLE_S = 60.0  # how often memory is looked at
RECONNECT_S = 2.2  # the plugin's longest pause between attempts, in real time
IDLE_S, PATIENCE_S = 5.0, 300.0  # at the end: so long nothing may go on; so long it may take until then


@dataclass
class Diary:
    """All that a run leaves behind. memory, allocated: (simulated hours, MB)."""

    memory: list[tuple[float, float]] = field(default_factory=list)
    allocated: list[tuple[float, float]] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ended: list[tuple[int, str]] = field(default_factory=list)  # (ledger row, status) of each call, as it was told
    sent: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    """(ledger row, what the devices got from the end of the call before until its own); 0: a call without a row, or none."""
    rang: list[tuple[datetime, datetime]] = field(default_factory=list)  # (due, when it rang to the end)
    mute: list[tuple[datetime, datetime]] = field(default_factory=list)  # when there was no speaker
    heard: int = 0
    crashes: list[str] = field(default_factory=list)


class CountedHost:
    """A plugin whose calls count as work: scripted time stands still while a device answers."""

    def __init__(self, host: Host, workers: Workers) -> None:
        self._host, self._workers = host, workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    async def call(self, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Any) -> Result:
        with self._workers.busy():
            return await self._host.call(context, tool, arguments, watch)


class PatientWorkers(Workers):
    """In a silent room gives way to the loop every tenth of a second instead of at every frame. silent: asked at each."""

    EVERY = 10

    def __init__(self, silent: Callable[[], bool]) -> None:
        super().__init__()
        self._silent = silent
        self._asked = 0

    async def quiet(self) -> None:
        self._asked += 1
        if self.stuck_s or not self._silent() or self._asked % self.EVERY == 0:
            await super().quiet()


class CountedHosts(Hosts):
    def __init__(self, workers: Workers, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._workers = workers

    def _start(self, manifest: Manifest) -> Host:
        counted: Any = CountedHost(super()._start(manifest), self._workers)
        found: Host = counted
        return found


class Soak:
    """One run. progress: called with the report so far after each simulated hour."""

    def __init__(self, config: Config, hours: float, seed: int, progress: Callable[[dict[str, Any]], None]) -> None:
        self.clock, self.workers, self.diary = ScriptedClock(START), PatientWorkers(self._silent), Diary()
        self._config, self._hours, self._seed, self._progress = config, hours, seed, progress
        self._todo = happenings(hours, seed)[::-1]
        self._undo: list[tuple[float, str]] = []  # (when, what comes back)
        self._idle_since: float | None = None
        self._counted = 0  # commands that are in the diary
        self._next_sample = 0.0
        self._began = time.monotonic()
        self.speaker = CardSpeaker()
        self.microphone = CardMicrophone(self.clock, self.workers, self.speaker, self._step, seed)
        self._assistant: Any = None
        self._tooling: Tooling | None = None
        self.world: Any = None

    async def run(self) -> dict[str, Any]:
        """The report. Errors: EngineMissing without flite or Mosquitto; what the assistant raises is a crash in the report."""
        asyncio.get_running_loop().set_exception_handler(self._stray)
        errors = _Unexpected(self.diary.crashes)
        logging.getLogger().addHandler(errors)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                async with AsyncExitStack() as stack:
                    await self._open(stack, Path(scratch))
                    try:
                        await self._assistant.run()
                    except Exception as error:
                        self.diary.crashes.append(f"{type(error).__name__}: {error}")
                    self._sent(0)
                    return self.report()
        finally:
            logging.getLogger().removeHandler(errors)

    async def _open(self, stack: AsyncExitStack, place: Path) -> None:
        from voice_needle.assistant import Assistant
        from voice_needle.evaluation.scenarios import effects_of

        stack.callback(self.workers.close)
        config = replace(self._config, data_dir=place / "data")
        registry = open_registry(config, PLUGINS)
        home = effects_of("home", registry.plugins["home"].folder)
        self.world = await stack.enter_async_context(home.world(place))
        config = replace(config, plugins={"home": dict(self.world.settings)})
        hosts = functools.partial(CountedHosts, self.workers)
        self._tooling = await stack.enter_async_context(
            open_tooling(config, self.clock, self._emit, registry, make_hosts=hosts)
        )
        parts = await open_parts(
            stack, config, self.clock, self.workers, self._tooling, self.microphone, self.speaker, live=False
        )
        self._assistant = Assistant(parts, config, emit=self._emit)
        self._assistant.ring = self._noted(self._assistant.ring)
        await parts.speaker.start()
        attend(stack, self._assistant, self._tooling, live=False)

    def report(self) -> dict[str, Any]:
        assert self._tooling is not None
        files = self._tooling.ledger.file, self._tooling.timers.file
        return {
            "simulated_hours": round(self.clock.monotonic() / 3600.0, 2),
            "real_seconds": round(time.monotonic() - self._began, 1),
            "seed": self._seed,
            **judge(self.diary, *files, self.clock.now(), self.world.lamps_of),
        }

    def _silent(self) -> bool:
        return self.microphone.silent and self._assistant.idle

    # --- what is noted ---

    def _emit(self, event: Event) -> None:
        match event:
            case SpeechStarted():
                self.diary.heard += 1
            case CallEnded(result=result):
                self.diary.ended.append((result.ledger_id or 0, result.status.value))
                self._sent(result.ledger_id or 0)
            case Fault(error=error):
                self.diary.faults[error.partition(" ")[0]] += 1
            case _:
                return

    def _sent(self, row: int) -> None:
        commands = self.world.house.commands
        self.diary.sent.append((row, commands[self._counted :]))
        self._counted += len(self.diary.sent[-1][1])

    def _noted(self, ring: Callable[[Ring], Awaitable[None]]) -> Callable[[Ring], Awaitable[None]]:
        """`ring`; what it told to the end is noted. An attempt that nobody heard is none."""

        async def noted(what: Ring) -> None:
            began = self.clock.now()
            await ring(what)
            self.diary.rang.append((what.due, began))

        return noted

    def _stray(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        self.diary.crashes.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- what happens ---

    async def _step(self, now: float) -> bool:
        """Before each frame: what is due; whether it goes on."""
        if now >= self._next_sample:
            self._next_sample += SAMPLE_S
            self.diary.memory.append((now / 3600.0, memory.resident_mb()))
            self.diary.allocated.append((now / 3600.0, memory.allocated_mb()))
            if round(now) % 3600 < SAMPLE_S and now > SAMPLE_S:
                self._progress(self.report())
        while self._undo and self._undo[0][0] <= now:
            await self._back(self._undo.pop(0)[1])
        while self._todo and self._todo[-1].at_s <= now:
            await self._happen(self._todo.pop())
        return now < self._hours * 3600.0 or self._busy(now)

    def _busy(self, now: float) -> bool:
        """After the end: until nothing has gone on for a while."""
        if now > self._hours * 3600.0 + PATIENCE_S:
            self.diary.crashes.append(f"it is not idle {PATIENCE_S:.0f} s after the end")
            return False
        if not self._assistant.idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        return self._idle_since is None or now - self._idle_since < IDLE_S

    async def _happen(self, event: Happening) -> None:
        self.diary.happened[event.what] += 1
        match event.what:
            case "say":
                self.microphone.hear(await asyncio.to_thread(speak, event.text, event.voice))
            case "noise":
                samples = pink_noise(round(event.lasts_s * 16_000), seed=int(event.at_s))
                self.microphone.hear((samples * (event.level / 1000.0)).astype(samples.dtype))
                return
            case "microphone":
                self.microphone.plugged = False
            case "speaker":
                self.speaker.unplug()
                self.diary.mute.append((self.clock.now(), self.clock.now() + timedelta(seconds=event.lasts_s)))
            case "broker":
                await asyncio.to_thread(self.world.broker.stop)
        if event.lasts_s:
            self._undo = sorted([*self._undo, (event.at_s + event.lasts_s, event.what)])

    async def _back(self, what: str) -> None:
        match what:
            case "microphone":
                self.microphone.plugged = True
            case "speaker":
                self.speaker.plug_in()
            case "broker":  # in real time, while scripted time stands still
                await asyncio.to_thread(self.world.broker.start)
                await asyncio.to_thread(self.world.house.wait_ready)
                await asyncio.sleep(RECONNECT_S)


class _Unexpected(logging.Handler):
    """Tracebacks in the log: something was raised that nobody expects."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._into.append(f"{record.name}: {record.getMessage()}: {record.exc_info[1]!r}")


def soak(
    config: Config, hours: float, seed: int = 1, progress: Callable[[dict[str, Any]], None] = lambda report: None
) -> dict[str, Any]:
    """Run `hours` of simulated listening; see soak_report.judge for what is in the report."""

    async def run() -> dict[str, Any]:
        return await Soak(config, hours, seed, progress).run()

    return asyncio.run(run())


def save(report: Mapping[str, Any], file: Path) -> None:
    """Whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(report, indent=1), encoding="utf-8")
    part.replace(file)

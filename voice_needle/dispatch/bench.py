"""Measures what the dispatcher itself costs: ledger, policy, threads and events, around a handler that does nothing."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from voice_needle.clock import RealClock
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.registry import Registry
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import TimerStore
from voice_needle.events import Call

_MANIFEST = """\
plugin: bench_{number}
description: Does nothing, for a measurement.
tools:
  bench_{number}:
    description: Do nothing.
    parameters: {{level: {{type: integer, minimum: 0, maximum: 1000000}}}}
    handler: {{python: "handlers.py:nothing"}}
    policy: {{confirm: never}}
"""
_HANDLERS = {
    "async": "async def nothing(ctx, level):\n    pass\n",
    "sync": "def nothing(ctx, level):\n    pass\n",
}


async def bench_dispatch(seconds: float = 60.0, rate: float = 50.0, folder: Path | None = None) -> dict[str, Any]:
    """Make `rate` calls a second for `seconds`, half of them to async and half to sync handlers.

    folder: where the ledger lies (its disk is most of the cost); None for a temporary one. Returns milliseconds from
    handing a call over until its result was there, its first ledger row on disk: {"calls", "failed", "rate",
    "overhead_ms": {"p50", "p95", "max"}, "fsync_ms": the same for bringing 4 KiB to that disk and nothing else,
    "unsettled"}.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="voice-needle-bench-") as made:
        base = Path(made)
        for number, source in enumerate(_HANDLERS.values()):
            plugin = base / "tools.d" / f"bench_{number}"
            plugin.mkdir(parents=True)
            (plugin / "plugin.yaml").write_text(_MANIFEST.format(number=number))
            (plugin / "handlers.py").write_text(source)
        return await _measure(base, seconds, rate)


async def _measure(base: Path, seconds: float, rate: float) -> dict[str, Any]:
    clock = RealClock()
    registry = Registry([base / "tools.d"], cache=base / "cache")
    ledger = Ledger.open(base / "ledger.sqlite", clock)
    timers = TimerStore(base / "timers.sqlite", clock)
    hosts = Hosts(registry, clock, timers, base / "data")
    dispatcher = Dispatcher(registry, ledger, hosts, clock, lambda event: None)
    await hosts.start()
    taken: list[float] = []
    failed = 0

    async def one(number: int) -> None:
        nonlocal failed
        begun = time.perf_counter()
        (result,) = await dispatcher.execute([Call(f"bench_{number % len(_HANDLERS)}", {"level": number})])
        taken.append((time.perf_counter() - begun) * 1000)
        failed += not result.ok

    await asyncio.gather(*(one(number) for number in range(len(_HANDLERS))))  # imports
    taken.clear()
    started = time.perf_counter()
    tasks = []
    for number in range(max(1, round(seconds * rate))):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    elapsed = time.perf_counter() - started
    unsettled = len(ledger.unsettled())
    await dispatcher.close()
    timers.close()
    return {
        "calls": len(taken),
        "failed": failed,
        "rate": round(len(taken) / elapsed, 1),
        "overhead_ms": _spread(taken),
        "fsync_ms": _spread(_fsyncs(base / "fsync", 100)),
        "unsettled": unsettled,
    }


def _spread(taken: list[float]) -> dict[str, float]:
    ranks = statistics.quantiles(taken, n=100, method="inclusive") if len(taken) > 1 else taken * 99
    return {"p50": round(ranks[49], 2), "p95": round(ranks[94], 2), "max": round(max(taken), 2)}


def _fsyncs(file: Path, times: int) -> list[float]:
    """Milliseconds that each of `times` writes of 4 KiB took to reach the disk."""
    taken = []
    with file.open("wb", buffering=0) as scratch:
        for _ in range(times):
            begun = time.perf_counter()
            scratch.write(b"\0" * 4096)
            os.fsync(scratch.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return taken

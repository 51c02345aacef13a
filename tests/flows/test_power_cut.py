"""Kill -9 in the middle of a call, start again: the ledger tells the truth, timers ring, nothing runs twice on its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from voice_needle.clock import RealClock
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Entry, Ledger
from voice_needle.dispatch.registry import Registry
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import Ring, TimerStore
from voice_needle.events import Call, Status

MANIFEST = """\
plugin: shop
description: A plugin for a test.
tools:
  pay:
    description: Pay an amount.
    parameters: {amount: {type: integer}}
    handler: {python: "handlers.py:pay"}
    policy: {confirm: never, timeout_ms: 60000, risk: medium}
  lamp:
    description: Switch the lamp on.
    handler: {python: "handlers.py:lamp"}
    policy: {confirm: never, timeout_ms: 60000, idempotent: true, retries: 3}
"""

HANDLERS = """\
import time
def _slow(ctx, line):
    with open(ctx.settings["log"], "a") as file:
        file.write(line + "\\n")
    time.sleep(60 if ctx.settings["slow"] else 0)
def pay(ctx, amount):
    _slow(ctx, f"pay {amount} {ctx.call_id}")
def lamp(ctx):
    _slow(ctx, f"lamp {ctx.call_id}")
"""

APPLIANCE = """\
import asyncio, sys
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, {here!r})
from test_power_cut import Appliance
from voice_needle.events import Call

async def main():
    appliance = Appliance(Path({folder!r}), slow=True)
    appliance.timers.add(appliance.clock.now() + timedelta(seconds=0.4), "tea")
    appliance.timers.add(appliance.clock.now() + timedelta(hours=1), "bread")
    await appliance.dispatcher.execute([Call({tool!r}, {arguments!r})], heard="do it")

asyncio.run(main())
"""


class Appliance:
    """The dispatcher with all it keeps on disk, as after each start."""

    def __init__(self, folder: Path, *, slow: bool) -> None:
        self.clock = RealClock()
        self.ledger = Ledger.open(folder / "ledger.sqlite", self.clock)
        self.timers = TimerStore(folder / "timers.sqlite", self.clock)
        registry = Registry([folder / "tools.d"], cache=folder / "cache")
        settings = {"shop": {"log": str(folder / "log"), "slow": slow}}
        hosts = Hosts(registry, self.clock, self.timers, folder / "data", settings=settings)
        self.dispatcher = Dispatcher(registry, self.ledger, hosts, self.clock, lambda event: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plugin = tmp_path / "tools.d" / "shop"
    plugin.mkdir(parents=True)
    (plugin / "plugin.yaml").write_text(MANIFEST)
    (plugin / "handlers.py").write_text(HANDLERS)
    return tmp_path


def lines(folder: Path) -> list[str]:
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def power_cut(folder: Path, tool: str, arguments: dict[str, int]) -> None:
    """Start an appliance in another process, and kill it once the handler has had its effect."""
    script = APPLIANCE.format(here=str(Path(__file__).parent), folder=str(folder), tool=tool, arguments=arguments)
    before = len(lines(folder))
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], start_new_session=True) as process:
        deadline = time.monotonic() + 30
        while len(lines(folder)) == before:
            assert process.poll() is None, "the appliance ended by itself"
            assert time.monotonic() < deadline, "the handler was never called"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


async def test_a_payment_is_not_repeated_and_is_spoken_of_once(folder: Path) -> None:
    power_cut(folder, "pay", {"amount": 30})
    appliance = Appliance(folder, slow=False)
    (entry,) = appliance.dispatcher.recover()
    assert isinstance(entry, Entry)
    assert (entry.call.tool, entry.call.arguments, entry.status, entry.heard) == (
        "pay",
        {"amount": 30},
        "unknown",
        "do it",
    )
    await asyncio.sleep(0.2)
    assert len(lines(folder)) == 1  # nothing repeats it on its own

    appliance.ledger.close()  # the power goes again before it was spoken
    appliance = Appliance(folder, slow=False)
    (again,) = appliance.dispatcher.recover()
    assert again.id == entry.id
    await appliance.dispatcher.told(again)
    assert appliance.dispatcher.recover() == []
    (result,) = await appliance.dispatcher.execute([Call("pay", {"amount": 30})])  # only when asked again
    assert result.status is Status.OK and len(lines(folder)) == 2
    assert len({line.split()[-1] for line in lines(folder)}) == 2  # and under a number of its own
    assert [one.status for one in appliance.dispatcher.history()] == ["ok", "unknown"]
    await appliance.dispatcher.close()


async def test_an_idempotent_call_is_unknown_too_but_nobody_is_bothered(folder: Path) -> None:
    power_cut(folder, "lamp", {})
    appliance = Appliance(folder, slow=False)
    assert appliance.dispatcher.recover() == []
    assert [one.status for one in appliance.dispatcher.history()] == ["unknown"]
    assert len(lines(folder)) == 1
    await appliance.dispatcher.close()


async def test_timers_ring_after_the_power_cut(folder: Path) -> None:
    power_cut(folder, "lamp", {})
    appliance = Appliance(folder, slow=False)
    rung: asyncio.Queue[Ring] = asyncio.Queue()

    async def ring(what: Ring) -> None:
        rung.put_nowait(what)

    ringing = asyncio.create_task(appliance.timers.run(ring))
    async with asyncio.timeout(10):
        assert (await rung.get()).label == "tea"
    (left,) = appliance.timers.pending()
    assert left[2] == "bread" and left[1] - datetime.now().astimezone() > timedelta(minutes=50)
    ringing.cancel()
    await appliance.dispatcher.close()


async def test_several_power_cuts_lose_and_double_nothing(folder: Path) -> None:
    for amount in range(4):
        power_cut(folder, "pay", {"amount": amount})
        Ledger.open(folder / "ledger.sqlite").close()
    ledger = Ledger.open(folder / "ledger.sqlite")
    unknown = ledger.recover()
    assert [entry.call.arguments["amount"] for entry in unknown] == [0, 1, 2, 3]
    assert [line.split()[2] for line in lines(folder)] == [f"{ledger.uid}-{entry.id}" for entry in unknown]
    ledger.close()
    assert ledger.moved_aside is None
    with sqlite3.connect(folder / "ledger.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

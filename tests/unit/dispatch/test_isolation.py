"""Plugins in a process of their own: crashing, hanging and greedy ones hurt nobody else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import time
from pathlib import Path

import pytest
from dispatch_desk import Desk, until

from voice_needle.dispatch.worker import Worker
from voice_needle.events import Call, Status
from voice_needle.secrets import Secrets

MANIFEST = """
isolation: process
limits: {memory_mb: 400}
settings: {token: {secret: t, required: false}}
tools:
  act:
    description: Act.
    parameters: {how: {type: string}}
    handler: {python: "handlers.py:act"}
    policy: {confirm: never, timeout_ms: 4000, on_barge_in: cancel, requires: [willing]}
"""
HANDLERS = """
import asyncio, os, time
from datetime import timedelta
from voice_needle.errors import ToolRefused
from voice_needle.plugin import Result

async def setup(ctx):
    ctx.state["count"] = 0
    print("this must not be taken for an answer")

def condition_willing(ctx):
    return None

async def vocabularies(ctx):
    return {}

async def act(ctx, how):
    ctx.state["count"] += 1
    if how == "exit": os._exit(7)
    if how == "abort": os.abort()
    if how == "hang":
        ctx.data_dir.joinpath("hangs").touch()
        time.sleep(3600)
    if how == "wait": await asyncio.sleep(3600)
    if how == "eat":
        held = bytearray(2 << 30)
        return Result(held=len(held))
    if how == "refuse": raise ToolRefused("no", spoken="Not while the oven is hot.")
    if how == "raise": raise ValueError("boom")
    if how == "timer": ctx.timers.add(ctx.clock.now() + timedelta(hours=1), "tea")
    return Result(pid=os.getpid(), count=ctx.state["count"], call=ctx.call_id, room=ctx.room, token=ctx.settings["token"])
"""


def home(desk: Desk, timeout_ms: int = 4000) -> Desk:
    desk.plugin("x", MANIFEST.replace("4000", str(timeout_ms)), HANDLERS)
    return desk.open()


async def act(desk: Desk, how: str) -> tuple[Status, dict[str, object], str]:
    (result,) = await desk.do(Call("act", {"how": how}), room="hall")
    return result.status, dict(result.values), result.error


async def test_it_runs_elsewhere_and_keeps_its_state(desk: Desk) -> None:
    desk.secrets = Secrets({"t": "hunter2"})
    home(desk)
    first, second = (await act(desk, "go"))[1], (await act(desk, "go"))[1]
    assert first["pid"] == second["pid"] != os.getpid() and (first["count"], second["count"]) == (1, 2)
    assert (first["call"], first["room"], first["token"]) == (f"{desk.ledger.uid}-1", "hall", "hunter2")


async def test_a_crash_is_told_and_the_next_call_works(desk: Desk) -> None:
    home(desk)
    for how in ("exit", "abort"):
        assert (await act(desk, how))[0] is Status.TIMEOUT  # whether it happened is unknown
    status, values, _ = await act(desk, "go")
    assert status is Status.OK and values["count"] == 1


async def test_errors_cross_over_with_their_sentence(desk: Desk) -> None:
    home(desk)
    assert await act(desk, "refuse") == (Status.REFUSED, {}, "Not while the oven is hot.")
    assert (await act(desk, "raise"))[0] is Status.FAILED
    assert (await act(desk, "go"))[1]["count"] == 3


async def test_memory_is_limited(desk: Desk) -> None:
    home(desk)
    assert (await act(desk, "eat"))[0] is Status.FAILED
    assert (await act(desk, "go"))[0] is Status.OK


async def test_a_handler_that_hangs_is_killed_with_its_process(desk: Desk) -> None:
    home(desk)
    pid = int(str((await act(desk, "go"))[1]["pid"]))
    desk.plugin("x", MANIFEST.replace("4000", "300"), HANDLERS)
    desk.registry.reload()  # the same process, a shorter limit
    assert (await act(desk, "hang"))[0] is Status.TIMEOUT
    await until(lambda: not os.path.exists(f"/proc/{pid}"))
    desk.plugin("x", MANIFEST, HANDLERS)
    desk.registry.reload()  # 300 ms would also have to start a process
    status, values, why = await act(desk, "go")
    assert status is Status.OK and values["pid"] != pid, why


async def test_the_call_after_one_that_hangs_gets_a_fresh_process_at_once(desk: Desk) -> None:
    """Nobody waits here until the hanging one is dead: it is still being asked to let go."""
    home(desk)
    pid = (await act(desk, "go"))[1]["pid"]
    doing = asyncio.ensure_future(act(desk, "hang"))
    await until((desk.folder / "data/x/hangs").exists)
    desk.dispatcher.cancel(0)
    assert (await doing)[0] is Status.CANCELLED
    status, values, why = await act(desk, "go")
    assert status is Status.OK and values["pid"] != pid and values["count"] == 1, why


@pytest.mark.parametrize("manifest", [MANIFEST, MANIFEST.replace(", requires: [willing]", "")], ids=["condition", "bare"])
async def test_a_process_that_somebody_killed_is_not_asked_although_the_loop_has_not_heard_of_it(
    desk: Desk, manifest: str
) -> None:
    desk.plugin("x", manifest, HANDLERS)
    desk.open()
    for _ in range(3):
        pid = int(str((await act(desk, "go"))[1]["pid"]))
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while not ended(pid) and time.monotonic() < end:
            time.sleep(0.001)  # noqa: ASYNC251 (the loop must not run meanwhile)
        status, values, why = await act(desk, "go")
        assert status is Status.OK and values["pid"] != pid, why


async def test_a_condition_whose_process_dies_is_asked_of_a_fresh_one(desk: Desk) -> None:
    dies_once = "def condition_willing(ctx):\n    if ctx.data_dir.joinpath('died').exists(): return None\n"
    dies_once += "    ctx.data_dir.joinpath('died').touch()\n    os._exit(3)\n"
    desk.plugin("x", MANIFEST, HANDLERS.replace("def condition_willing(ctx):\n    return None\n", dies_once))
    desk.open()
    status, _, why = await act(desk, "go")
    assert status is Status.OK and (desk.folder / "data/x/died").exists(), why


def ended(pid: int) -> bool:
    """Also where nobody has collected it yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


async def test_a_handler_that_lets_go_keeps_its_process(desk: Desk) -> None:
    home(desk)
    pid = (await act(desk, "go"))[1]["pid"]
    doing = asyncio.ensure_future(act(desk, "wait"))
    await until(lambda: desk.kinds().count("CallStarted") == 2)
    desk.dispatcher.cancel(0)
    assert (await doing)[0] is Status.CANCELLED
    status, values, _ = await act(desk, "go")
    assert status is Status.OK and values["pid"] == pid


async def test_a_call_cancelled_in_the_moment_it_comes_is_answered(tmp_path: Path) -> None:
    """Both lines lie in the pipe; without an answer the process would be killed as one that hangs."""
    first = {"plugin": "x", "folder": str(tmp_path), "version": "v", "settings": {}, "data_dir": str(tmp_path), "room": None}
    answers = io.BytesIO()
    worker = Worker({**first, "timers": str(tmp_path / "timers.sqlite")}, answers)
    worker.take({"id": 7, "do": "hook", "function": "setup"})
    worker.take({"id": 7, "do": "cancel"})
    await until(answers.getvalue)
    assert json.loads(answers.getvalue()) == {"id": 7, "error": "Cancelled", "what": "cancelled before it began"}


async def test_timers_set_there_are_seen_here(desk: Desk) -> None:
    home(desk)
    assert (await act(desk, "timer"))[0] is Status.OK
    assert [label for _, _, label, _ in desk.timers.pending()] == ["tea"]


async def test_nothing_is_left_running(desk: Desk) -> None:
    home(desk)
    pid = (await act(desk, "go"))[1]["pid"]
    await desk.hosts.close()
    await until(lambda: not os.path.exists(f"/proc/{pid}"))

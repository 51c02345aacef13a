"""A cancelled turn loses its right to act and to speak; an unanswered question is forgotten."""

import asyncio
from datetime import UTC, datetime

import pytest

from voice_needle.clock import ScriptedClock
from voice_needle.events import Call, Question
from voice_needle.turn import Memory, Scope, StaleTurn
from voice_needle.workers import Workers


async def test_cancelling_a_scope_stops_its_tasks_and_its_right_to_act():
    scope, reached = Scope(1), []

    async def work() -> None:
        await asyncio.sleep(0)
        scope.check()
        reached.append("side effect")

    task = scope.spawn(work())
    scope.cancel("the user said stop")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reached == []
    with pytest.raises(StaleTurn, match="said stop"):
        scope.check()
    scope.cancel("again")
    assert scope.reason == "the user said stop"


async def test_a_question_is_forgotten_when_its_time_is_up():
    clock = ScriptedClock(datetime(2026, 3, 1, tzinfo=UTC))
    memory = Memory()
    memory.ask(Question("light", "room", "missing"), (Call("light"),), until_s=10.0)
    await clock.advance(9.9)
    assert not memory.expire(clock)
    await clock.advance(0.2)
    assert memory.expire(clock)
    assert memory.pending_calls == ()


async def test_workers_know_when_every_model_is_idle():
    import threading

    workers, gate = Workers(), threading.Event()
    task = asyncio.create_task(workers.run("recogniser", gate.wait, 5))
    await asyncio.sleep(0)
    quiet = asyncio.create_task(workers.quiet())
    await asyncio.sleep(0.01)
    assert not quiet.done()
    task.cancel()  # the caller goes away; the thread is still at work, and we still know it
    await asyncio.sleep(0.01)
    assert not quiet.done()
    gate.set()
    await asyncio.wait_for(quiet, 5)
    workers.close()


async def test_a_failure_in_a_worker_reaches_its_caller():
    workers = Workers()
    with pytest.raises(ZeroDivisionError):
        await workers.run("recogniser", lambda: 1 // 0)
    await asyncio.wait_for(workers.quiet(), 5)
    workers.close()

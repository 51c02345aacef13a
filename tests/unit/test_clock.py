"""The scripted clock moves only when told, and wakes sleepers at exactly their own time."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from voice_needle.clock import ScriptedClock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def test_sleepers_wake_in_order_each_at_its_own_time():
    clock, woken = ScriptedClock(START), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(*each)) for each in (("late", 3.0), ("early", 1.0), ("never", 9.0))]
    await clock.advance(5.0)
    assert woken == [("early", 1.0), ("late", 3.0)]
    assert clock.now() == START + timedelta(seconds=5)
    tasks[2].cancel()
    await clock.advance(5.0)
    assert len(woken) == 2


async def test_a_sleeper_that_sleeps_again_wakes_within_the_same_advance():
    clock, ticks = ScriptedClock(START), []

    async def ticker() -> None:
        for _ in range(5):
            await clock.sleep(0.1)
            ticks.append(round(clock.monotonic(), 3))

    task = asyncio.create_task(ticker())
    await clock.advance(1.0)
    assert ticks == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert task.done()


async def test_a_jump_moves_the_wall_clock_only():
    clock = ScriptedClock(START)
    clock.jump(timedelta(hours=1))
    assert clock.monotonic() == 0.0
    assert clock.now() == START + timedelta(hours=1)


def test_a_start_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        ScriptedClock(datetime(2026, 3, 1))

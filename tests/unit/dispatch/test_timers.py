from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio
from dispatch_desk import START, until

from voice_needle.clock import RealClock, ScriptedClock, settle
from voice_needle.dispatch.timers import Ring, TimerStore
from voice_needle.errors import DeviceLost


class Kitchen:
    """A timer store that is ringing, by a clock that moves when told."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = ScriptedClock(START)
        self.rung: list[tuple[str, float, bool]] = []  # label, seconds since START, late
        self.broken = 0
        self.start()

    def start(self) -> None:
        self.store = TimerStore(self.file, self.clock)
        self.task = asyncio.create_task(self.store.run(self.ring))

    async def ring(self, what: Ring) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError("no speaker")
        self.rung.append((what.label, self.clock.monotonic(), what.late))

    def stop(self) -> None:
        self.task.cancel()
        self.store.close()

    def at(self, seconds: float, label: str, kind: str = "timer") -> int:
        return self.store.add(self.clock.now() + timedelta(seconds=seconds), label, kind)


@pytest_asyncio.fixture
async def kitchen(tmp_path: Path) -> AsyncIterator[Kitchen]:
    kitchen = Kitchen(tmp_path / "timers")
    await settle()
    yield kitchen
    kitchen.stop()


async def test_timers_ring_in_order_each_at_its_time(kitchen: Kitchen) -> None:
    kitchen.at(300, "tea")
    kitchen.at(90, "eggs")
    await kitchen.clock.advance(299)
    assert kitchen.rung == [("eggs", 90.0, False)]
    await kitchen.clock.advance(2)
    assert kitchen.rung == [("eggs", 90.0, False), ("tea", 300.0, False)]
    assert kitchen.store.pending() == []


async def test_a_timer_set_while_another_waits_longer(kitchen: Kitchen) -> None:
    kitchen.at(3600, "bread")
    await kitchen.clock.advance(10)
    kitchen.at(3, "eggs")
    await kitchen.clock.advance(4)
    assert kitchen.rung == [("eggs", 13.0, False)]


async def test_cancelled_timers_do_not_ring(kitchen: Kitchen) -> None:
    number = kitchen.at(5, "tea")
    assert kitchen.store.cancel(number) and not kitchen.store.cancel(number) and not kitchen.store.cancel(99)
    await kitchen.clock.advance(10)
    assert kitchen.rung == []


async def test_what_was_missed_while_off_rings_at_once_and_late(kitchen: Kitchen) -> None:
    kitchen.at(60, "tea")
    kitchen.at(7200, "bread")
    kitchen.stop()
    await kitchen.clock.advance(3600)
    kitchen.start()
    await settle()
    assert kitchen.rung == [("tea", 3600.0, True)]
    assert [label for _, _, label, _ in kitchen.store.pending()] == ["bread"]


async def test_a_countdown_keeps_its_time_when_the_clock_is_put(kitchen: Kitchen) -> None:
    kitchen.at(300, "tea")
    kitchen.at(600, "alarm", "alarm")
    await kitchen.clock.advance(10)
    kitchen.clock.jump(timedelta(hours=2))
    await kitchen.clock.advance(6)
    assert [label for label, _, _ in kitchen.rung] == ["alarm"]  # its hour has passed
    await kitchen.clock.advance(300)
    assert kitchen.rung[-1][0] == "tea" and abs(kitchen.rung[-1][1] - 300) < 0.01


async def test_a_clock_put_back_rings_no_countdown_late(kitchen: Kitchen) -> None:
    kitchen.at(60, "tea")
    kitchen.clock.jump(timedelta(days=-1))
    await kitchen.clock.advance(61)
    assert [label for label, _, _ in kitchen.rung] == ["tea"]


async def test_a_ring_that_fails_is_tried_again(kitchen: Kitchen) -> None:
    kitchen.broken = 1
    kitchen.at(5, "tea")
    await kitchen.clock.advance(6)
    assert kitchen.rung == [] and len(kitchen.store.pending()) == 1
    await kitchen.clock.advance(10)
    assert [label for label, _, _ in kitchen.rung] == ["tea"] and kitchen.store.pending() == []


async def test_many_timers(kitchen: Kitchen) -> None:
    for number in range(200):
        kitchen.at(1 + number % 7, f"t{number}")
    await kitchen.clock.advance(8)
    assert sorted(label for label, _, _ in kitchen.rung) == sorted(f"t{number}" for number in range(200))


async def test_pending_by_kind_and_a_time_without_a_zone(kitchen: Kitchen) -> None:
    kitchen.store.add(START.replace(tzinfo=None) + timedelta(minutes=5), "wake", "alarm")
    kitchen.at(60, "tea")
    ((_, due, label, kind),) = kitchen.store.pending("alarm")
    assert (due, label, kind) == (START + timedelta(minutes=5), "wake", "alarm")


async def test_another_thread_may_set_a_timer(tmp_path: Path) -> None:
    clock = RealClock()
    store = TimerStore(tmp_path / "timers", clock)
    rung: list[str] = []

    async def ring(what: Ring) -> None:
        rung.append(what.label)

    task = asyncio.create_task(store.run(ring))
    await asyncio.sleep(0)
    threading.Thread(target=store.add, args=(clock.now(), "tea")).start()
    await until(lambda: rung == ["tea"])
    task.cancel()
    store.close()


async def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "timers").write_bytes(b"nonsense" * 1000)
    store = TimerStore(tmp_path / "timers", ScriptedClock(START))
    assert store.moved_aside is not None and store.moved_aside.exists() and store.pending() == []
    store.close()


async def test_without_a_speaker_a_timer_rings_when_it_is_back(tmp_path: Path):
    clock = ScriptedClock(START)
    timers = TimerStore(tmp_path / "timers.db", clock)
    timers.add(clock.now() + timedelta(minutes=1), "egg")
    rang: list[Ring] = []
    plugged = False

    async def ring(what: Ring) -> None:
        if not plugged:
            raise DeviceLost("the speaker was unplugged")
        rang.append(what)

    task = asyncio.ensure_future(timers.run(ring))
    await clock.advance(60 + 300)
    assert rang == [] and [each[2] for each in timers.pending()] == ["egg"]
    plugged = True
    await clock.advance(10)
    assert [each.label for each in rang] == ["egg"] and timers.pending() == []
    task.cancel()
    timers.close()

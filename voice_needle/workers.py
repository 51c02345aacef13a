"""One thread a model, and the knowledge whether any of them is at work.

Models block, the loop must not: `run` hands a function to the model's own thread. `quiet` waits until every thread is idle,
which is what lets a scripted clock stand still while a model thinks, so that a simulated conversation has the same order of
events each time, on any machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from voice_needle.clock import settle

T = TypeVar("T")


def _after_sound() -> None:
    """Where the process has real-time priority, a model's thread has the least of it: the loop and the sound come first."""
    if os.sched_getscheduler(0) in (os.SCHED_RR, os.SCHED_FIFO):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))


class Workers:
    """Named single-thread executors. Work given to one name runs in order; different names run beside each other."""

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._busy = 0
        self._moved_s = 0.0  # when something last began after idleness, or ended
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, name: str, function: Callable[..., T], *arguments: object) -> T:
        """`function(*arguments)` in the thread called `name`. Cancelling the caller abandons the result, not the work."""
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = ThreadPoolExecutor(
                max_workers=1, thread_name_prefix=name, initializer=_after_sound
            )
        self._begin()
        future = asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Counts work that happens elsewhere (a process, a device) as if a thread of ours did it."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Within `busy`: nothing is thought about, only time must pass."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    @property
    def stuck_s(self) -> float:
        """For how long something has been at work without anything coming to an end. Real time: for a watchdog."""
        return time.monotonic() - self._moved_s if self._busy else 0.0

    def _begin(self) -> None:
        if self._busy == 0:
            self._moved_s = time.monotonic()
        self._busy += 1
        self._idle.clear()

    def _end(self) -> None:
        self._busy -= 1
        self._moved_s = time.monotonic()
        if self._busy == 0:
            self._idle.set()

    def _done(self, future: asyncio.Future[T]) -> None:
        self._end()
        if not future.cancelled():
            future.exception()  # an abandoned failure must not warn when it is collected: its turn is over

    async def quiet(self) -> None:
        """Return when nothing is at work, and nothing that waited for it has begun anew."""
        while True:
            await settle(5)
            if self._busy == 0:
                return
            await self._idle.wait()

    def close(self) -> None:
        """Finish what runs, drop what waits, end the threads."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
        self._pools.clear()

"""systemd is told that the service lives only when frames are consumed and no model hangs."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from voice_needle.watchdog import STUCK_S, Watchdog, notify, watched
from voice_needle.workers import Workers


class Bench:
    """A watchdog with its mouth open: what it sent, and the time."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.now, self.stuck = 0.0, 0.0
        self.dog = Watchdog(
            lambda: self.stuck, environment={"WATCHDOG_USEC": "20000000"}, send=self.sent.append, now=lambda: self.now
        )

    def frames(self, seconds: float) -> int:
        """How often systemd was fed."""
        before = len(self.sent)
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.dog.progress()
        return len(self.sent) - before


def test_the_first_frame_says_ready_and_the_others_feed_four_times_in_a_period():
    bench = Bench()
    bench.dog.progress()
    assert bench.sent == ["READY=1\nSTATUS=Listening", "WATCHDOG=1\nSTATUS=Listening"]
    assert 3 <= bench.frames(20.0) <= 4


def test_without_frames_or_with_a_hanging_model_it_starves():
    bench = Bench()
    bench.frames(1.0)
    bench.now += 30.0
    assert len(bench.sent) == 2
    bench.stuck = STUCK_S + 1
    assert bench.frames(60.0) == 0
    bench.stuck = 0.0
    assert bench.frames(6.0) >= 1


def test_an_unplugged_microphone_is_no_reason_to_be_killed_but_a_missing_one_is():
    bench = Bench()
    bench.dog.away()
    assert bench.sent == []
    bench.frames(0.1)
    bench.now += 6.0
    bench.dog.away()
    assert "unplugged" in bench.sent[-1] and "WATCHDOG=1" in bench.sent[-1]


async def test_a_thread_that_does_not_come_back_is_stuck():
    workers, hang = Workers(), asyncio.Event()
    assert workers.stuck_s == 0.0
    with workers.busy():
        hang.set()
        workers._moved_s -= 100.0
        assert workers.stuck_s > STUCK_S
        assert await workers.run("other", lambda: 1) == 1
        await asyncio.sleep(0)
        assert workers.stuck_s < STUCK_S  # something came to an end: slow, not stuck
    assert workers.stuck_s == 0.0
    workers.close()


async def test_a_running_assistant_talks_to_the_real_socket(tmp_path: Path, monkeypatch: Any):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assistant = cast(Any, SimpleNamespace(workers=Workers(), source=object(), progress=None))
        async with watched(assistant):
            assistant.progress()
        received = [systemd.recv(200).decode() for _ in range(3)]
    assert received == ["READY=1\nSTATUS=Listening", "WATCHDOG=1\nSTATUS=Listening", "STOPPING=1"]
    assert not notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not notify("WATCHDOG=1", {})

"""Tells systemd that the pipeline moves: fed by frames that were really consumed, not by a timer.

sd_notify(3) without libsystemd: one datagram to the socket in $NOTIFY_SOCKET. Where systemd did not start us nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from voice_needle import last_words

if TYPE_CHECKING:
    from voice_needle.assistant import Assistant

STUCK_S = 45.0  # no utterance takes a model so long: its thread hangs


def notify(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send lines like READY=1 to systemd. False: nobody listens."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        try:
            link.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:  # systemd itself is being restarted; the next one gets through
            return False
    return True


class Watchdog:
    """progress: call it for every frame. stuck_s: how long a model's thread has been busy with one thing; past STUCK_S the
    watchdog starves although sound still flows. send, now: replaced in tests.
    """

    def __init__(
        self,
        stuck_s: Callable[[], float] = lambda: 0.0,
        *,
        environment: Mapping[str, str] = os.environ,
        send: Callable[[str], object] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send or (lambda message: notify(message, environment))
        self._now, self._stuck_s, self._environment = now, stuck_s, environment
        self.every_s = int(environment.get("WATCHDOG_USEC") or 40_000_000) / 4e6
        self._fed_s: float | None = None

    def progress(self) -> None:
        """A frame was consumed. The first one also says that the service is ready."""
        now = self._now()
        if self._fed_s is None:
            self._send("READY=1\nSTATUS=Listening")
            last_words.forget(self._environment)
        elif now - self._fed_s < self.every_s:
            return
        if self._stuck_s() < STUCK_S:
            self._fed_s = now
            self._send("WATCHDOG=1\nSTATUS=Listening")

    def away(self) -> None:
        """There is no frame because the microphone is unplugged, and the loop is looking for it: no reason to be killed."""
        if self._fed_s is not None and self._now() - self._fed_s >= self.every_s:
            self._fed_s = self._now()
            self._send("WATCHDOG=1\nSTATUS=The microphone is unplugged; waiting for it")


@asynccontextmanager
async def watched(assistant: Assistant) -> AsyncIterator[Watchdog]:
    """Feed systemd's watchdog from this assistant for as long as it runs."""
    watchdog = Watchdog(lambda: assistant.workers.stuck_s)
    assistant.progress = watchdog.progress
    looking = asyncio.ensure_future(_look_for_the_microphone(assistant, watchdog))
    try:
        yield watchdog
    finally:
        notify("STOPPING=1")
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _look_for_the_microphone(assistant: Assistant, watchdog: Watchdog) -> None:
    """`stream` of a microphone is None while it is away; files have none."""
    while True:
        await asyncio.sleep(watchdog.every_s)
        if unplugged(assistant):
            watchdog.away()


def unplugged(assistant: Assistant) -> bool:
    """Whether the source is a microphone that is unplugged just now."""
    return getattr(assistant.source, "stream", True) is None

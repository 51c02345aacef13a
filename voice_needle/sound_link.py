"""Keeps one sound device open: notices when it is gone, tells it, and brings it back when it is plugged in again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator

from voice_needle.errors import AudioError, DeviceLost, NoMicrophone, NoSpeaker
from voice_needle.sound_devices import (
    DeviceStream,
    Direction,
    OnBlock,
    SoundDevice,
    close_stream,
    find_device,
    open_stream,
    pick_rate,
    portaudio,
    refresh,
)

log = logging.getLogger(__name__)
START_S = 3.0  # a stream may take so long to its first block: PulseAudio's virtual sources do
MAX_RETRY_S = 5.0


class DeviceLink:
    """One direction of one device. What Microphone and DeviceSink call by the same names means the same there.

    device: part of its name, or its index; None: the system's default. rate_hz: None means 16 kHz where the device takes it,
    else its own rate. channels: how many to open; None: as few as it gives, from min_channels up. latency_ms: how much the
    device may buffer. lost_after_ms: without a block for so long, the device is lost. retry_ms: how often it is looked for
    then. blocking: see DeviceStream. on_block: in the audio thread. on_open(rate_hz, channels): on the loop, before the first
    block. on_lost, on_back: on the loop.
    """

    def __init__(
        self,
        device: str | int | None,
        direction: Direction,
        on_block: OnBlock,
        on_open: Callable[[int, int], None],
        *,
        rate_hz: int | None = None,
        channels: int | None = None,
        min_channels: int = 1,
        block_ms: float = 20.0,
        latency_ms: float = 60.0,
        lost_after_ms: float = 1_000.0,
        retry_ms: float = 1_000.0,
        blocking: bool = False,
        on_lost: Callable[[DeviceLost], None] | None = None,
        on_back: Callable[[], None] | None = None,
    ) -> None:
        self._wanted, self._direction, self._on_block, self._on_open = device, direction, on_block, on_open
        self._rate_hz, self._channels, self._min_channels = rate_hz, channels, min_channels
        self._block_ms, self._latency_ms, self._blocking = block_ms, latency_ms, blocking
        self._lost_after_s, self._retry_s = lost_after_ms / 1000.0, retry_ms / 1000.0
        self._on_lost, self._on_back = on_lost, on_back
        self._watchdog: asyncio.Task[None] | None = None
        self.stream: DeviceStream | None = None  # None while the device is away

    async def open(self) -> None:
        """Open it and watch over it. Errors: NoMicrophone, NoSpeaker, UnknownDevice, AudioError."""
        if self._watchdog is None:
            self.stream = self._open(find_device(self._wanted, self._direction))
            self._watchdog = asyncio.get_running_loop().create_task(self._watch())

    def _open(self, device: SoundDevice) -> DeviceStream:
        most = device.channels(self._direction)
        choices = [self._channels] if self._channels else [self._min_channels, 2, most]
        choices = [count for count in dict.fromkeys(choices) if self._min_channels <= count <= most]
        if not choices:
            missing = NoMicrophone if self._direction == "input" else NoSpeaker
            raise missing(f"{device.name} has {most} {self._direction} channel(s), fewer than configured")
        failure: Exception | None = None
        for channels in choices:
            try:
                return self._open_as(device, channels)
            except (portaudio().PortAudioError, ValueError) as error:
                failure = error
        raise AudioError(
            f"{device.name} cannot be opened: {failure}", fix="voice-needle devices; is it in use elsewhere?"
        )

    def _open_as(self, device: SoundDevice, channels: int) -> DeviceStream:
        rate_hz = pick_rate(device, self._direction, channels, self._rate_hz)
        self._on_open(rate_hz, channels)
        return open_stream(
            lambda: DeviceStream(
                device, self._direction, self._on_block, rate_hz=rate_hz, channels=channels,
                block_ms=self._block_ms, latency_ms=self._latency_ms, blocking=self._blocking,
            ),
            self._refreshed,
        )  # fmt: skip

    def _refreshed(self) -> None:
        """PortAudio was restarted for another device's sake: our stream is gone. The watchdog opens a new one."""
        self.stream = None

    async def _watch(self) -> None:
        while True:
            stream = self.stream
            if stream is not None and await self._moves(stream):
                continue
            if stream is not None:
                await self._lost(stream)
            await self._return()
            if stream is not None and self._on_back is not None:
                self._on_back()

    async def _moves(self, stream: DeviceStream) -> bool:
        """Wait for the next block; False when none comes in time."""
        before = stream.blocks
        limit_s = self._lost_after_s if before else max(self._lost_after_s, START_S)
        tick_s = self._lost_after_s / 2.0
        for _ in range(max(1, round(limit_s / tick_s))):
            await asyncio.sleep(tick_s)
            if stream.blocks != before:
                return True
            if self.stream is not stream:
                return False
        return False

    async def _lost(self, stream: DeviceStream) -> None:
        if self.stream is None:
            return  # refreshed, not lost
        name = stream.device.name
        log.warning("the sound device %s does not move any more", name)
        self.stream = None
        if self._on_lost is not None:
            self._on_lost(DeviceLost(f"{name} was unplugged, or its driver stopped"))
        await close_stream(stream)

    async def _return(self) -> None:
        """Try until it is back: first as it was known, then in a fresh list of devices."""
        wait_s = self._retry_s
        while not await self._reopen():
            if await refresh(self._wanted, self._direction) and await self._reopen():
                return
            await asyncio.sleep(wait_s)
            wait_s = min(MAX_RETRY_S, wait_s * 1.5)

    async def _reopen(self) -> bool:
        """Whether it opens and moves."""
        try:
            with _quiet_stderr():
                stream = self._open(find_device(self._wanted, self._direction))
        except AudioError:
            return False
        self.stream = stream
        if await self._moves(stream):
            return True
        if self.stream is stream:
            self.stream = None
            await close_stream(stream)
        return False

    async def close(self) -> None:
        """Give the device back."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
            self._watchdog = None
        stream, self.stream = self.stream, None
        if stream is not None:
            await close_stream(stream)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """PortAudio and ALSA write ten lines to stderr each time an absent device is tried; the exception says it already."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)

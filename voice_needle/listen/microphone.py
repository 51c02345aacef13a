"""The microphone: any device at its own rate and channel count, as 10 ms frames that survive unplugging.

The audio callback copies its block into a bounded ring and wakes the event loop, nothing else. When the device is
unplugged, `frames` waits and goes on when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

from voice_needle.audio import FRAME_MS, Samples
from voice_needle.errors import DeviceLost
from voice_needle.listen.resample import Framer, Resampler
from voice_needle.ring import Ring
from voice_needle.sound_devices import DeviceStream, list_devices
from voice_needle.sound_link import DeviceLink


class Microphone:
    """A sound card's input, resampled to 16 kHz where it has another rate. Options as for DeviceLink, and:

    channel: which one to take, from 0; None: the mean of all that are opened. ring_ms: sound kept while nobody takes it; what
    does not fit is dropped and counted in `overruns`.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        rate_hz: int | None = None,
        channel: int | None = None,
        channels: int | None = None,
        block_ms: float = 20.0,
        latency_ms: float = 60.0,
        ring_ms: float = 2_000.0,
        lost_after_ms: float = 1_000.0,
        retry_ms: float = 1_000.0,
        blocking: bool = False,
        on_lost: Callable[[DeviceLost], None] | None = None,
        on_back: Callable[[], None] | None = None,
    ) -> None:
        self.name = "microphone" if device is None else str(device)
        self.overruns = 0
        self._channel, self._block_ms, self._ring_ms = channel, block_ms, ring_ms
        self._wake = asyncio.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_time_s = self._frame_time_s = 0.0
        self._prepare(16_000, 1)
        self._link = DeviceLink(
            device, "input", self._on_block, self._prepare, rate_hz=rate_hz, channels=channels,
            min_channels=1 if channel is None else channel + 1, block_ms=block_ms, latency_ms=latency_ms,
            lost_after_ms=lost_after_ms, retry_ms=retry_ms, blocking=blocking, on_lost=on_lost, on_back=on_back,
        )  # fmt: skip

    @property
    def stream(self) -> DeviceStream | None:
        """The open stream; None while the device is away."""
        return self._link.stream

    @property
    def frame_time_s(self) -> float:
        """When the first sample of the frame last given entered the microphone, on PortAudio's clock, as a speaker's taps."""
        return self._frame_time_s

    def _prepare(self, rate_hz: int, channels: int) -> None:
        """The device opened, or came back, with this rate and so many channels."""
        self._ring = Ring(round(rate_hz * self._ring_ms / 1000.0) * channels)
        self._channels = channels
        self._resampler = Resampler(rate_hz, channel=self._channel)
        self._framer = Framer()

    def _on_block(self, block: Samples, time_s: float, xrun: bool) -> None:
        """In the audio thread: copy, wake the loop, return."""
        if not self._ring.write(block.reshape(-1)) or xrun:
            self.overruns += 1
        self._end_time_s = time_s + self._block_ms / 1000.0
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def open(self) -> None:
        """Open the device now rather than with the first frame. Errors: NoMicrophone, UnknownDevice, AudioError."""
        self._loop = asyncio.get_running_loop()
        await self._link.open()

    async def frames(self) -> AsyncIterator[Samples]:
        """(160,) frames until closed. Errors at the start: NoMicrophone, UnknownDevice, AudioError."""
        await self.open()
        try:
            while not self._closed:
                await self._wake.wait()
                self._wake.clear()
                raw = self._ring.read().reshape(-1, self._channels)
                frames = self._framer.feed(self._resampler.feed(raw))
                for i, frame in enumerate(frames):
                    self._frame_time_s = self._end_time_s - (len(frames) - i) * FRAME_MS / 1000.0
                    yield frame
                    if self._closed:
                        return
        finally:
            await self._link.close()

    async def close(self) -> None:
        """Stop; `frames` ends."""
        self._closed = True
        self._wake.set()
        await self._link.close()


def sound_devices() -> list[dict[str, Any]]:
    """Every sound device: index, name, inputs and outputs (channels), rate_hz, default. Errors: EngineMissing, AudioError."""
    return [asdict(device) for device in list_devices()]

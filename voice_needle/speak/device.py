"""The sound card: 20 ms blocks out, with ducking and silence within one block, and the truth about what was heard.

The audio callback takes blocks from a bounded queue; times are the device's own, its latency included, so "finished" and
"heard" mean what came out of the speaker, not what was handed over. Unplugged, the answer in progress fails with DeviceLost
and the next one plays when the device is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from voice_needle.audio import BLOCK_MS, BLOCK_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.errors import DeviceLost
from voice_needle.sound_link import DeviceLink
from voice_needle.speak.sinks import QueueSink


class DeviceSink(QueueSink):
    """A sound card's output, each channel with the same sound, resampled where it has another rate than 16 kHz.

    Options as for DeviceLink; a smaller latency_ms stops sooner, a larger one survives a busy machine. queue_ms: how much may
    wait before the device.
    """

    def __init__(
        self,
        device: str | int | None = None,
        *,
        rate_hz: int | None = None,
        channels: int | None = None,
        latency_ms: float = 60.0,
        queue_ms: float = 2_000.0,
        lost_after_ms: float = 1_000.0,
        retry_ms: float = 1_000.0,
        blocking: bool = False,
        on_lost: Callable[[DeviceLost], None] | None = None,
        on_back: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(queue_ms=queue_ms)
        self.name = "speaker" if device is None else str(device)
        self._report_lost, self._report_back = on_lost, on_back
        self._loop: asyncio.AbstractEventLoop | None = None
        self._marks: deque[tuple[float, int]] = deque(maxlen=500)  # (device time, position) at each block's end
        self._heard = 0
        self._wait: asyncio.TimerHandle | None = None
        self._rate_changer: Any = None
        self._spare: Samples = np.empty(0, np.int16)
        self._link = DeviceLink(
            device, "output", self._on_block, self._prepare, rate_hz=rate_hz, channels=channels, block_ms=BLOCK_MS,
            latency_ms=latency_ms, lost_after_ms=lost_after_ms, retry_ms=retry_ms, blocking=blocking,
            on_lost=self._lost, on_back=self._back,
        )  # fmt: skip

    async def start(self) -> None:
        """Errors: NoSpeaker, UnknownDevice, AudioError."""
        self._loop = asyncio.get_running_loop()
        await self._link.open()

    def _prepare(self, rate_hz: int, channels: int) -> None:
        self._rate_changer = None
        self._spare = np.empty(0, np.int16)
        if rate_hz != SAMPLE_RATE_HZ:
            import soxr

            self._rate_changer = soxr.ResampleStream(SAMPLE_RATE_HZ, rate_hz, 1, dtype="int16", quality="MQ")

    def _on_block(self, out: Samples, time_s: float, xrun: bool) -> None:
        """In the audio thread: take a block, hand it to the device, tell the loop."""
        self.underruns += xrun
        if self._rate_changer is None:
            block, taken = self._queue.take(len(out))
            out[:] = block[:, np.newaxis]
            self._report(block, taken, time_s)
            return
        while len(self._spare) < len(out):
            block, taken = self._queue.take(BLOCK_SAMPLES)
            self._report(block, taken, time_s)
            self._spare = np.concatenate([self._spare, self._rate_changer.resample_chunk(block)])
        out[:] = self._spare[: len(out), np.newaxis]
        self._spare = self._spare[len(out) :]

    def _report(self, block: Samples, taken: int, time_s: float) -> None:
        if taken:
            self._marks.append((time_s + taken / SAMPLE_RATE_HZ, self._queue.read))
        if (taken or self._taps) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._played, block, time_s)

    def _played(self, block: Samples, device_time_s: float) -> None:
        super()._played(block, device_time_s)
        if self._wait is None and self._marks and not self._queue.waiting:
            self._check_end()

    def _check_end(self) -> None:
        """The queue is empty: wake whoever drains when the device's clock passes the last sample."""
        self._wait = None
        stream = self._link.stream
        self._moved.set()
        if stream is None or self._loop is None or self.heard >= self._queue.read or not self._marks:
            return
        left_s = max(0.002, self._marks[-1][0] - stream.time_s)
        self._wait = self._loop.call_later(left_s, self._check_end)

    @property
    def heard(self) -> int:
        stream = self._link.stream
        now = stream.time_s if stream is not None else float("inf")
        while self._marks and self._marks[0][0] <= now:
            self._heard = self._marks.popleft()[1]
        return self._heard

    def _lost(self, error: DeviceLost) -> None:
        self._error = error
        self._queue.flush()
        self._moved.set()
        if self._report_lost is not None:
            self._report_lost(error)

    def _back(self) -> None:
        self._error = None
        if self._report_back is not None:
            self._report_back()

    async def close(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
        self._moved.set()
        await self._link.close()

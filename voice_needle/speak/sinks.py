"""Where sound goes: the protocol of every sink, and those without a device: a WAV file, and nowhere.

Both play on the injected clock, block by block, as a device would: silence where nothing is said. So a file written beside a
file source is aligned to it, sample for sample, and a scripted conversation has the same timing every time.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from voice_needle.audio import BLOCK_MS, BLOCK_SAMPLES, SAMPLE_RATE_HZ, Samples, to_samples
from voice_needle.clock import Clock
from voice_needle.errors import AudioError
from voice_needle.speak.queue import PlayQueue

Tap: TypeAlias = Callable[[Samples, float], None]
"""Given each block as it was really played (gain, fades and silence included) and the time in seconds, on the device's
clock, at which its first sample leaves the speaker. Called on the event loop, in order."""


class Sink(Protocol):
    """A speaker, a file, or nowhere: 16 kHz mono int16 in, played in blocks of 20 ms."""

    name: str
    underruns: int  # stretches in which the device ran dry

    async def start(self) -> None:
        """Open it. Errors: NoSpeaker, UnknownDevice."""
        ...

    async def play(self, samples: Samples) -> bool:
        """Queue sound; waits while the queue is full. False: it was flushed away. Errors: DeviceLost."""
        ...

    async def drain(self) -> None:
        """Return when the last queued sample has left the speaker, or was flushed. Errors: DeviceLost."""
        ...

    def flush(self) -> int:
        """Drop what is queued: silence within one block. The position at which it stopped."""
        ...

    def duck(self, db: float) -> None:
        """Play `db` decibels quieter (12.0, not -12.0) from the next block on; 0 restores."""
        ...

    def pause(self) -> None:
        """Silence within one block; what is queued waits."""
        ...

    def resume(self) -> None: ...

    @property
    def queued(self) -> int:
        """Position of the next sample to be queued: samples queued since the start."""
        ...

    @property
    def heard(self) -> int:
        """Position of the first sample that has not left the speaker yet, on the device's clock."""
        ...

    def add_tap(self, tap: Tap) -> None: ...

    def remove_tap(self, tap: Tap) -> None: ...

    async def close(self) -> None: ...


class QueueSink(ABC):
    """What all sinks share: the queue, its back-pressure, ducking, flushing and the taps. queue_ms bounds what waits."""

    name = "sink"

    def __init__(self, *, queue_ms: float = 2_000.0) -> None:
        self.underruns = 0
        self._queue = PlayQueue(to_samples(queue_ms))
        self._moved = asyncio.Event()  # the reader took something, or a flush dropped it
        self._taps: list[Tap] = []
        self._flushes = 0
        self._error: AudioError | None = None

    async def play(self, samples: Samples) -> bool:
        flushes = self._flushes
        while len(samples):
            if self._error is not None:
                raise self._error
            done = self._queue.write(samples)
            samples = samples[done:]
            if len(samples):
                self._moved.clear()
                await self._moved.wait()
            if flushes != self._flushes:
                return False
        return True

    async def drain(self) -> None:
        while self._error is None and (self._queue.waiting or self.heard < self._queue.read):
            self._moved.clear()
            await self._moved.wait()
        if self._error is not None:
            raise self._error

    def flush(self) -> int:
        stopped = self._queue.read
        self._queue.flush()
        self._queue.paused = False
        self._flushes += 1
        self._moved.set()
        return stopped

    def duck(self, db: float) -> None:
        self._queue.gain = 10.0 ** (-abs(db) / 20.0)

    def pause(self) -> None:
        self._queue.paused = True

    def resume(self) -> None:
        self._queue.paused = False

    @property
    def queued(self) -> int:
        return self._queue.written

    @property
    @abstractmethod
    def heard(self) -> int: ...

    def add_tap(self, tap: Tap) -> None:
        self._taps.append(tap)

    def remove_tap(self, tap: Tap) -> None:
        self._taps.remove(tap)

    def _played(self, block: Samples, device_time_s: float) -> None:
        for tap in self._taps:
            tap(block, device_time_s)
        self._moved.set()


class NullSink(QueueSink):
    """Plays to nobody, in the clock's time."""

    name = "none"

    def __init__(self, *, clock: Clock, queue_ms: float = 2_000.0) -> None:
        super().__init__(queue_ms=queue_ms)
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._heard = 0

    @property
    def heard(self) -> int:
        return self._heard

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        due = self._clock.monotonic()
        while True:
            block, _ = self._queue.take(BLOCK_SAMPLES)
            position = self._queue.read
            self._write(block)
            start = due
            due += BLOCK_MS / 1000.0
            await self._clock.sleep(due - self._clock.monotonic())
            self._heard = position
            self._played(block, start)

    def _write(self, block: Samples) -> None:
        """Overridden by the file sink."""

    async def close(self) -> None:
        """Stop playing. What was queued and not drained is lost, as it would be on a device."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None


class FileSink(NullSink):
    """A 16 kHz mono WAV file whose first sample is the moment of `start`. Errors at construction: AudioError."""

    def __init__(self, path: str | Path, *, clock: Clock, queue_ms: float = 2_000.0) -> None:
        super().__init__(clock=clock, queue_ms=queue_ms)
        import soundfile

        self.name = str(path)
        try:
            self._file: Any = soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "PCM_16", format="WAV")
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise AudioError(
                f"{path} cannot be written: {error}", fix="give --output a path that can be written"
            ) from error

    def _write(self, block: Samples) -> None:
        self._file.write(block)

    async def close(self) -> None:
        await super().close()
        self._file.close()

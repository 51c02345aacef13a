"""What is about to be played: a bounded queue with gain, pause and flush, filled by one thread and emptied by another.

One writer (the event loop) and one reader (the audio thread) share it without a lock: each index has one owner. Whatever is
asked for (quieter, stop, pause) is done within the next block, with a ramp instead of a click.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import Samples

FADE_SAMPLES = 80  # 5 ms: as short as a ramp may be without a click


class PlayQueue:
    """`capacity` samples at most. Positions count the samples ever written; `read` is the first not yet taken.

    Writer: write, flush, and the attributes gain, paused. Reader: take.
    """

    def __init__(self, capacity: int) -> None:
        self._ring: Samples = np.zeros(capacity, np.int16)
        self.written = 0
        self.read = 0
        self.gain = 1.0  # where the reader's gain goes within one block
        self.paused = False
        self._flush_to = 0
        self._gain_now = 1.0
        self._open = 1.0  # 0 while paused

    @property
    def waiting(self) -> int:
        """Samples that will still be played, unless flushed."""
        return self.written - max(self.read, self._flush_to)

    @property
    def room(self) -> int:
        """Samples that may be written now. Flushed ones make room when the reader has passed them."""
        return len(self._ring) - (self.written - self.read)

    def write(self, samples: Samples) -> int:
        """Queue as much as there is room for; how much that was."""
        count = min(len(samples), self.room)
        start = self.written % len(self._ring)
        first = min(count, len(self._ring) - start)
        self._ring[start : start + first] = samples[:first]
        self._ring[: count - first] = samples[first:count]
        self.written += count
        return count

    def flush(self) -> None:
        """Drop all that is queued: the next block fades out, the one after it is silent."""
        self._flush_to = self.written

    def take(self, count: int) -> tuple[Samples, int]:
        """The next (count,) samples with gain applied, silence where there are none; and how many were really queued."""
        flush_to = self._flush_to
        if flush_to > self.read:
            block, _ = self._copy(min(count, FADE_SAMPLES, flush_to - self.read), count)
            self._shape(block, self._open, 0.0)
            taken = min(count, FADE_SAMPLES, flush_to - self.read)
            self.read = flush_to
            return block, taken
        wanted = 0.0 if self.paused else 1.0
        if wanted == 0.0 and self._open == 0.0:
            return np.zeros(count, np.int16), 0
        limit = FADE_SAMPLES if wanted < self._open else count  # pausing: what would be silenced waits for the resume
        block, taken = self._copy(min(limit, count), count)
        self._shape(block, self._open, wanted)
        self._open = wanted
        self.read += taken
        return block, taken

    def _copy(self, limit: int, size: int) -> tuple[Samples, int]:
        block = np.zeros(size, np.int16)
        count = min(limit, self.written - self.read)
        start = self.read % len(self._ring)
        first = min(count, len(self._ring) - start)
        block[:first] = self._ring[start : start + first]
        block[first:count] = self._ring[: count - first]
        return block, count

    def _shape(self, block: Samples, opening: float, closing: float) -> None:
        """Ramp the gain to where it should be over the whole block, and open or close within FADE_SAMPLES."""
        target = self.gain
        if self._gain_now == target == 1.0 and opening == closing == 1.0:
            return
        ramp: NDArray[np.float32] = np.linspace(self._gain_now, target, len(block), dtype=np.float32)
        self._gain_now = target
        fade = min(FADE_SAMPLES, len(block))
        ramp[:fade] *= np.linspace(opening, closing, fade, dtype=np.float32)
        ramp[fade:] *= np.float32(closing)
        block[:] = np.rint(block * ramp).astype(np.int16)

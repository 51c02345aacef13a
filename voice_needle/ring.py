"""A bounded ring between an audio callback and the event loop: one writer, one reader, no lock."""

from __future__ import annotations

import numpy as np

from voice_needle.audio import Samples


class Ring:
    """`capacity` int16 values. Each index has one owner, so neither side ever waits for the other."""

    def __init__(self, capacity: int) -> None:
        self._buffer: Samples = np.zeros(capacity, np.int16)
        self._written = 0
        self._read = 0

    def __len__(self) -> int:
        return self._written - self._read

    def write(self, values: Samples) -> bool:
        """Append all of it, or, where there is no room, nothing: False."""
        if len(values) > len(self._buffer) - len(self):
            return False
        start = self._written % len(self._buffer)
        first = min(len(values), len(self._buffer) - start)
        self._buffer[start : start + first] = values[:first]
        self._buffer[: len(values) - first] = values[first:]
        self._written += len(values)
        return True

    def read(self) -> Samples:
        """Everything there is, (n,); empty when there is nothing."""
        count = len(self)
        start = self._read % len(self._buffer)
        first = min(count, len(self._buffer) - start)
        values = np.concatenate([self._buffer[start : start + first], self._buffer[: count - first]])
        self._read += count
        return values

    def clear(self) -> None:
        """Drop everything. For the reader only."""
        self._read = self._written

"""Any rate, any channel count, any sample type in; 16 kHz mono int16 in 10 ms frames out.

Resampling is soxr's streaming mode (variable input, constant quality), so block borders leave no click.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, FULL_SCALE, SAMPLE_RATE_HZ, Samples, as_samples

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000


def to_mono(block: NDArray[Any], channel: int | None = None) -> NDArray[np.float32]:
    """(n,) or (n, channels), int16, int32 or float in -1..1 -> (n,) float32 in -1..1.

    channel: which one to take, counted from 0; None: the mean of all. A channel that is not there raises IndexError.
    """
    scale = {np.dtype(np.int16): FULL_SCALE, np.dtype(np.int32): 2.0**31}.get(block.dtype, 1.0)
    if block.ndim == 1:
        mono = block
    elif channel is None:
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    else:
        mono = block[:, channel]
    result: NDArray[np.float32] = mono.astype(np.float32)
    if scale != 1.0:
        result /= np.float32(scale)
    return result


def to_int16(mono: NDArray[np.floating[Any]]) -> Samples:
    """Float in -1..1 -> int16, rounded and clipped. NaN and infinity, as broken float files hold them, become silence."""
    clean = np.nan_to_num(mono * FULL_SCALE, nan=0.0, posinf=0.0, neginf=0.0)
    return as_samples(clean)


class Resampler:
    """One stream's converter to 16 kHz mono int16. At 16 kHz it only mixes down: int16 passes bit for bit."""

    def __init__(self, rate_hz: int, *, channel: int | None = None, quality: str = "HQ") -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"{rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        self.rate_hz = rate_hz
        self._channel = channel
        self._quality = quality
        self._stream = self._new_stream()

    def _new_stream(self) -> Any:
        if self.rate_hz == SAMPLE_RATE_HZ:
            return None
        import soxr

        return soxr.ResampleStream(self.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality=self._quality)

    def feed(self, block: NDArray[Any], *, last: bool = False) -> Samples:
        """(n,) or (n, channels) at the stream's rate -> (m,) at 16 kHz. last: also give what the filter still holds."""
        if self._stream is None and block.dtype == np.int16:
            if block.ndim == 1:
                return block
            if block.shape[1] == 1 or self._channel is not None:
                return np.ascontiguousarray(block[:, self._channel or 0])
        mono = to_mono(block, self._channel)
        if self._stream is not None:
            mono = self._stream.resample_chunk(mono, last=last)
        return to_int16(mono)

    def reset(self) -> None:
        """Start a new stream: after a gap, or when the device came back."""
        self._stream = self._new_stream()


class Framer:
    """Cuts blocks of any length into (160,) frames; keeps the rest for the next block."""

    def __init__(self) -> None:
        self._rest: Samples = np.empty(0, np.int16)

    def feed(self, samples: Samples, *, last: bool = False) -> list[Samples]:
        """The frames that are complete now. last: the rest too, padded with silence."""
        if self._rest.size:
            samples = np.concatenate([self._rest, samples])
        count = len(samples) // FRAME_SAMPLES
        frames = [samples[i * FRAME_SAMPLES : (i + 1) * FRAME_SAMPLES] for i in range(count)]
        self._rest = samples[count * FRAME_SAMPLES :]
        if last and self._rest.size:
            frames.append(np.pad(self._rest, (0, FRAME_SAMPLES - self._rest.size)))
            self._rest = np.empty(0, np.int16)
        return frames

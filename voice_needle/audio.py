"""The one audio format every stage speaks: 16 kHz, mono, int16, in frames of 10 ms.

Devices and files may run at other rates and widths; `listen` converts on the way in and `speak` on the way out, so that
nothing between them needs to ask.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAME_MS = 10
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000  # 160
BLOCK_MS = 20  # what the speaker writes at a time: the granularity of ducking and flushing
BLOCK_SAMPLES = SAMPLE_RATE_HZ * BLOCK_MS // 1000  # 320
FULL_SCALE = 32_768.0

Samples: TypeAlias = NDArray[np.int16]
"""Mono PCM at SAMPLE_RATE_HZ, shape (n,)."""


def to_ms(samples: int) -> float:
    """Length of `samples` samples in milliseconds."""
    return samples * 1000.0 / SAMPLE_RATE_HZ


def to_samples(ms: float) -> int:
    """Number of samples in `ms` milliseconds, rounded to the nearest."""
    return round(ms * SAMPLE_RATE_HZ / 1000.0)


def as_samples(sound: NDArray[np.floating]) -> Samples:
    """Rounded, and clipped to what int16 holds."""
    return np.asarray(np.clip(np.rint(sound), -32_768, 32_767), np.int16)


def slide(buffer: NDArray[np.float32], sound: Samples) -> None:
    """Put `sound` at the end of a buffer of the latest sound, and as much of the oldest out. In place; `sound` is not the longer one."""
    buffer[: -len(sound)] = buffer[len(sound) :]
    buffer[-len(sound) :] = sound


def rms_dbfs(samples: Samples) -> float:
    """Level of a stretch of sound in dB relative to full scale; -120 for digital silence or nothing at all."""
    if samples.size == 0:
        return -120.0
    power = float(np.mean(np.square(samples.astype(np.float64) / FULL_SCALE)))
    return max(-120.0, 10.0 * float(np.log10(power))) if power > 0.0 else -120.0

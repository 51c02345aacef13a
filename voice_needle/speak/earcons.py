"""Short tones that say what words would take too long for: listening, done, error, attention. Computed, not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, to_samples
from voice_needle.errors import ConfigError

TONES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "listening": ((660.0, 60.0), (880.0, 80.0)),
    "done": ((880.0, 60.0), (1175.0, 90.0)),
    "error": ((330.0, 110.0), (220.0, 160.0)),
    "attention": ((880.0, 120.0), (0.0, 60.0), (880.0, 120.0), (0.0, 60.0), (1175.0, 180.0)),
}
"""Name -> (frequency in Hz, length in ms) one after the other; 0 Hz is a pause."""


@cache
def earcon(name: str, level_dbfs: float = -18.0) -> Samples:
    """The tone of that name, (n,) int16 at 16 kHz, peaking at `level_dbfs`. Errors: ConfigError for another name."""
    if name not in TONES:
        raise ConfigError(f"there is no tone {name!r}; there are {', '.join(TONES)}")
    samples = np.concatenate([_note(frequency, length) for frequency, length in TONES[name]])
    samples = np.rint(samples * 32767.0 * 10.0 ** (level_dbfs / 20.0)).astype(np.int16)
    samples.flags.writeable = False
    result: Samples = samples
    return result


def _note(frequency_hz: float, length_ms: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    count = to_samples(length_ms)
    at = np.arange(count) / SAMPLE_RATE_HZ
    edge = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / to_samples(8.0))
    note: np.ndarray[tuple[int], np.dtype[np.float64]]
    note = np.sin(2 * np.pi * frequency_hz * at) * np.sin(edge * np.pi / 2) ** 2
    return note

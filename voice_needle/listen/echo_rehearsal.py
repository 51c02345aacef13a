"""A voice in a room that was measured, made up: what a canceller practises on before the first word is spoken.

The chirp of the self-test is over before the canceller has found it, and excites one frequency at a time. The room's impulse
response, which the same chirp gives (Farina 2000), says how any other sound would come back: so noise is sent through it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, Samples, to_samples

TAIL = 4_096  # samples of the response that are used: as long as the canceller's memory
_FADE = 512  # the last of them, faded out
_LENGTH_MS, _PAUSE_MS = 6_000.0, 600.0  # of the noise, and of silence after it: the canceller's memory is empty again
_LEVEL = 3_000.0  # RMS of the noise, LSB: our voice's, or less where its echo would be clipped
_LOUDEST = 16_000.0  # of the echo, LSB
_HISS = 3.0  # RMS of the microphone's own noise, LSB
_SEED = 1


def rehearsal(response: NDArray[np.float64]) -> tuple[Samples, Samples]:
    """What is played and what the microphone hears of it, (n,) each, whole frames. response: (m,) gain of each sample of delay."""
    rng = np.random.default_rng(_SEED)
    count = to_samples(_LENGTH_MS) // FRAME_SAMPLES * FRAME_SAMPLES
    path = response[:TAIL].copy()
    path[-_FADE:] *= np.linspace(1.0, 0.0, len(path[-_FADE:]))
    played = rng.normal(size=count) * _LEVEL
    size = 1 << (count + len(path)).bit_length()
    heard = np.fft.irfft(np.fft.rfft(played, size) * np.fft.rfft(path, size), size)[:count]
    scale = min(1.0, _LOUDEST / (float(np.abs(heard).max()) + 1e-9))
    pause = np.zeros(to_samples(_PAUSE_MS) // FRAME_SAMPLES * FRAME_SAMPLES)
    return _samples(np.concatenate([played * scale, pause])), _samples(
        np.concatenate([heard * scale + rng.normal(size=count) * _HISS, pause])
    )


def _samples(sound: NDArray[np.float64]) -> Samples:
    return np.asarray(np.clip(np.rint(sound), -32_768, 32_767), np.int16)

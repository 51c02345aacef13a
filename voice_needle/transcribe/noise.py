"""How loud the background of an utterance is, how much of it is loud, and the white floor that hides it from the embedded recogniser.

The acoustic model was trained on rooms: a floor of white noise that follows the background masks what is not speech evenly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.events import Word

FRAME = SAMPLE_RATE_HZ // 40
LOUD_DB = 15.0  # below the loudest of an utterance: all of speech but its softest sounds
QUIETEST = 0.1  # share of the frames, at least five, that are taken for background


def background_rms(samples: Samples) -> float:
    """RMS in LSB of the quietest tenth of the 25 ms frames; 0 where there are fewer than ten frames. samples: (n,) int16."""
    power = _powers(samples, FRAME)
    if len(power) < 10:
        return 0.0
    return float(np.sqrt(np.sort(power)[: max(5, int(QUIETEST * len(power)))].mean()))


def loud_frames(samples: Samples) -> NDArray[np.bool_]:
    """Which 10 ms frames are within 15 dB of the loudest, over 30 ms. samples: (n,) int16 -> (n // 160,)."""
    power = _powers(samples, FRAME_SAMPLES)
    if len(power) < 3:
        return np.zeros(len(power), np.bool_)
    power = np.convolve(power, np.full(3, 1.0 / 3.0), "same")
    return np.asarray(power > power.max() * 10.0 ** (-LOUD_DB / 10.0))


def loud_between(words: Sequence[Word], loud: NDArray[np.bool_]) -> float:
    """How many ms of loud sound lie between some words, in none of them. loud: as of `loud_frames`."""
    first, last = int(words[0].start_ms / FRAME_MS), int(words[-1].end_ms / FRAME_MS)
    between = loud[first:last].copy()
    for word in words:
        between[max(0, int(word.start_ms / FRAME_MS) - first) : int(word.end_ms / FRAME_MS) - first] = False
    return float(between.sum() * FRAME_MS)


def signal_to_noise_db(samples: Samples) -> float:
    """Mean power of the utterance over that of its quietest frames, dB, 0 to 60; 60 where the background is not heard."""
    background = background_rms(samples)
    power = float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0
    if background <= 0.0 or power <= 0.0:
        return 60.0
    return float(np.clip(10.0 * np.log10(max(power / background**2 - 1.0, 1e-9)), 0.0, 60.0))


def floor_rms(samples: Samples, least: float, share: float) -> float:
    """RMS in LSB of the white noise to add: `least`, and `share` of the background on top (powers add)."""
    return float(np.hypot(least, share * background_rms(samples)))


def add_floor(samples: Samples, rms: float, rng: np.random.Generator) -> Samples:
    """samples plus white noise of `rms` LSB. (n,) int16 -> (n,) int16."""
    return np.clip(samples + rng.normal(0.0, rms, len(samples)), -32768, 32767).astype(np.int16)


def _powers(samples: Samples, size: int) -> NDArray[np.float64]:
    """Mean power of each whole frame of so many samples."""
    frames = len(samples) // size
    return np.asarray(np.mean(samples[: frames * size].reshape(frames, size).astype(np.float64) ** 2, axis=1))

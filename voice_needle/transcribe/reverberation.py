"""Takes the late reverberation of a room out of an utterance: weighted prediction error, one microphone.

Nakatani et al. 2010, "Speech Dereverberation Based on Variance-Normalized Delayed Linear Prediction" (IEEE TASLP 18:7). In each
band, what the frames of some time ago predict of this one is echo of the room, not speech, and is taken away. The prediction is
fitted so that what remains is as likely as speech of slowly changing loudness; no room needs to be known.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, as_samples

Spectrum = NDArray[np.complex128]
WINDOW = 1024  # samples, 64 ms; with 32 ms a long tail was half as well taken away
HOP = 256
DELAY = 2  # frames: what is younger is the sound itself, its own attack and its early reflections, which help
TAPS = 16  # frames looked back on, at most, 256 ms: the tail that smears one phone into the next
FRAMES_A_TAP = 15  # a short utterance is looked back on less: with more taps, the prediction fits its words, not its echo
ROUNDS = 2  # loudness and prediction are fitted in turn
PIECE = 128  # frames to a product: OpenBLAS shares one of 256 among threads, which took five times the processor here
TOGETHER = 4096  # frames of several bands at a time: one band at a time took twice as long, all together 5 MB a second of sound
LEAST = 1e-3  # of a band's loudest: a silent frame must not outweigh all speech
TAIL = 0.05  # of the energy: with less in the tail, the room is as dry as those that the acoustic model learned in
HEARD = slice(130 * WINDOW // SAMPLE_RATE_HZ, 6800 * WINDOW // SAMPLE_RATE_HZ)  # bands that the acoustic model looks at
SHORTEST = WINDOW + 48 * HOP  # 0.8 s: a word, whose own vowels foretell each other

_HANN: NDArray[np.float64] = np.hanning(WINDOW + 1)[:-1]


def dereverberate(samples: Samples) -> Samples:
    """(n,) -> (n,): the same utterance drier; as it is in a dry room, or too short to tell. Needs the whole of it."""
    if len(samples) < SHORTEST or not samples.any():
        return samples
    spectrum = _spectrum(samples)
    taps = min(TAPS, len(spectrum) // FRAMES_A_TAP)
    together = max(1, TOGETHER // len(spectrum))
    for first in range(HEARD.start, HEARD.stop, together):
        bands = spectrum.T[first : min(first + together, HEARD.stop)]
        bands[:] = _dry(bands, taps)
    dry = _sound(spectrum, len(samples))
    heard = samples.astype(np.float64)
    if np.sum(np.square(heard - dry)) < TAIL * np.sum(np.square(heard)):
        return samples
    return as_samples(dry)


def _dry(heard: Spectrum, taps: int) -> Spectrum:
    """(bands, frames) -> the same, each band by itself."""
    count, frames = heard.shape
    known = np.pad(heard, ((0, 0), (DELAY + taps - 1, 0)))
    past = np.ascontiguousarray(sliding_window_view(known, taps, axis=1)[:, :frames].swapaxes(1, 2))  # (bands, taps, frames)
    both = np.concatenate([past, heard[:, None]], axis=1).swapaxes(1, 2)
    dry = heard
    for _ in range(ROUNDS):
        power = dry.real**2 + dry.imag**2
        smooth = power.copy()
        smooth[:, 1:] += power[:, :-1]
        smooth[:, :-1] += power[:, 1:]
        floor = LEAST * smooth.max(axis=1, keepdims=True) + 1e-9
        weighed = past.conj() * (1.0 / np.maximum(smooth, floor))[:, None]
        pieces = (slice(at, at + PIECE) for at in range(0, frames, PIECE))
        sides = sum((weighed[:, :, piece] @ both[:, piece] for piece in pieces), np.zeros((count, taps, taps + 1), np.complex128))
        trace = np.trace(sides, axis1=1, axis2=2).real[:, None, None]
        correlation = sides[:, :, :taps] + (1e-6 * trace + 1e-12) * np.eye(taps)
        prediction = np.linalg.solve(correlation, sides[:, :, taps:])
        dry = heard - np.sum(prediction * past, axis=1)
    return dry


def _spectrum(samples: Samples) -> Spectrum:
    """(frames, bands). Frame by frame: all windows at once would take four times the memory of the sound."""
    whole = np.pad(samples.astype(np.float64), (WINDOW - HOP, WINDOW))
    frames = sliding_window_view(whole, WINDOW)[::HOP]
    spectrum = np.empty((len(frames), WINDOW // 2 + 1), np.complex128)
    for number, frame in enumerate(frames):
        spectrum[number] = np.fft.rfft(frame * _HANN)
    return spectrum


def _sound(spectrum: Spectrum, length: int) -> NDArray[np.float64]:
    """(length,): overlap-add, weighed as the frames were."""
    sound = np.zeros((len(spectrum) - 1) * HOP + WINDOW)
    for number, frame in enumerate(spectrum):
        sound[number * HOP : number * HOP + WINDOW] += np.fft.irfft(frame, WINDOW) * _HANN
    weight = np.sum(_HANN**2) / HOP  # of all windows over one sample, the same for each: 1.5
    start = WINDOW - HOP
    return sound[start : start + length] / weight

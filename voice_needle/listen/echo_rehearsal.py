"""A voice in a room that was measured, made up: what a canceller practises on before the first word is spoken.

The chirp of the self-test is over before the canceller has found it, and excites one frequency at a time. The room's impulse
response, which the same chirp gives (Farina 2000), says how any other sound would come back: so noise is sent through it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, Samples, as_samples, to_samples

TAIL = 4_096  # samples of the response that are used: as long as the canceller's memory
_FADE = 512  # the last of them, faded out
_LENGTH_MS, _PAUSE_MS = 6_000.0, 600.0  # of the noise, and of silence after it: the canceller's memory is empty again
_LEVEL = 3_000.0  # RMS of the noise, LSB: our voice's, or less where its echo would be clipped
_LOUDEST = 16_000.0  # of the echo, LSB
_HISS = 3.0  # RMS of the microphone's own noise, LSB
_SEED = 1


class Canceller(Protocol):
    """A linear canceller: SpeexDSP, or another in a measurement."""

    def cancel(self, microphone: Samples, reference: Samples) -> Samples: ...
    def reset(self) -> None: ...


def practise(canceller: Canceller, played: Samples, heard: Samples) -> None:
    """Have it cancel what was heard of what was played, frame by frame. (n,) each, whole frames."""
    for at in range(0, len(played), FRAME_SAMPLES):
        canceller.cancel(heard[at : at + FRAME_SAMPLES], played[at : at + FRAME_SAMPLES])


class Understudy:
    """A second canceller that knows the measured room, too, and takes over where the delay jumps.

    The first one has unlearnt the room by then: in half a second in which what it was given did not fit. It becomes the next
    understudy, and practises while nothing is played.
    """

    def __init__(self, canceller: Canceller | None) -> None:
        self._canceller = canceller
        self._played = self._heard = np.zeros(0, np.int16)
        self._at = 0

    def learn(self, played: Samples, heard: Samples) -> None:
        """What is to be practised, from the beginning. (n,) each, whole frames."""
        self._played, self._heard, self._at = played, heard, 0
        if self._canceller is not None:
            self._canceller.reset()

    def practise(self, frames: int) -> None:
        """Some more of it."""
        if self._canceller is not None:
            part = slice(self._at, self._at + frames * FRAME_SAMPLES)
            practise(self._canceller, self._played[part], self._heard[part])
            self._at = part.stop

    def replace(self, tired: Canceller) -> Canceller:
        """Who goes on: the understudy where it is ready, else the tired one, which then knows nothing."""
        if self._canceller is None or self._at < len(self._played) or not len(self._played):
            tired.reset()
            return tired
        ready, self._canceller = self._canceller, tired
        self.learn(self._played, self._heard)
        return ready


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
    return as_samples(np.concatenate([played * scale, pause])), as_samples(
        np.concatenate([heard * scale + rng.normal(size=count) * _HISS, pause])
    )


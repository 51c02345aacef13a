"""Whether somebody speaks while we do: more in the microphone than usually remains of our own voice."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, slide


class Gate:
    """Whether a frame holds more than the rest of our own voice. Bands of 200 to 4,000 Hz; levels in dB.

    What usually remains of the reference in each band (`rest`) is learnt: quickly upwards, slowly downwards, hardly at all
    while a person speaks. Somebody speaks when enough bands lie above that and above the noise of the room.
    """

    _SIZE = 320
    _EDGES_HZ = (200, 400, 600, 800, 1_000, 1_300, 1_600, 2_000, 2_500, 3_200, 4_000)
    _DECAY = 0.80  # of the reference's power in 10 ms: the room's reverberation, 200 ms for 20 dB
    _OVER_DB = 3.0  # and one and a half times the usual deviation
    _NOISE_OVER_DB = 7.0
    _BANDS = 3  # of ten
    _FRAMES = 3  # of the last eight
    _HOLD = 25  # frames: words have gaps

    def __init__(self) -> None:
        hz = np.fft.rfftfreq(self._SIZE, 1.0 / SAMPLE_RATE_HZ)
        edges = self._EDGES_HZ
        self._pick = np.array([(hz >= low) & (hz < high) for low, high in itertools.pairwise(edges)], np.float32)
        self._pick /= self._pick.sum(axis=1, keepdims=True)
        bands = len(edges) - 1
        self._window = np.hanning(self._SIZE).astype(np.float32)
        self._heard = np.zeros(self._SIZE, np.float32)
        self._reference = np.zeros(self._SIZE, np.float32)
        self._lasting = np.full(bands, 1e-3)
        self._rest_db = np.full(bands, 3.0)  # nothing is known: all of it may remain, and more
        self._wide_db = np.full(bands, 3.0)  # how far it usually is from that
        self._noise_db = np.full(bands, 20.0)
        self._recent = np.zeros(8, bool)
        self._held = 0
        self._ratios = np.full((150, bands), np.nan)  # of the last 1.5 s of our own voice
        self._at = 0
        self.voice = False  # our own voice may be in this frame

    def unsure(self) -> None:
        """The canceller starts anew: expect more to remain."""
        self._rest_db = np.maximum(self._rest_db, 0.0)

    def mistaken(self) -> None:
        """What was over the limit lately was our own: nine tenths of it are the usual from now on."""
        known = self._ratios[~np.isnan(self._ratios).any(axis=1)]
        if len(known) >= 10:
            self._rest_db = np.maximum(self._rest_db, np.quantile(known, 0.9, axis=0) - self._OVER_DB)
        self._held = 0
        self._recent[:] = False

    def feed(self, clean: Samples, reference: Samples) -> bool:
        """The next (160,) of both, aligned."""
        slide(self._heard, clean)
        slide(self._reference, reference)
        heard, played = self._power(self._heard), self._power(self._reference)
        # A tone is in one band, but its loudspeaker, the window and the room spread it: 30 dB below is its own, too.
        played = np.maximum(played, np.max(played) * 1e-3)
        self._lasting = np.maximum(played, self._lasting * self._DECAY)
        heard_db = 10.0 * np.log10(heard + 1e-3)
        lasting_db = 10.0 * np.log10(self._lasting + 1e-3)
        active = lasting_db > 15.0
        self.voice = bool(active.any())
        limit_db = np.where(active, lasting_db + self._rest_db + self._OVER_DB + 1.5 * self._wide_db, -99.0)
        over = heard_db > np.maximum(limit_db, self._noise_db + self._NOISE_OVER_DB)
        self._recent[:-1] = self._recent[1:]
        self._recent[-1] = np.count_nonzero(over) >= self._BANDS
        person = bool(np.count_nonzero(self._recent) >= self._FRAMES)
        self._learn(heard_db, lasting_db, active, person)
        if not self.voice:
            self._held = 0
            return True  # nothing of ours is in it: the voice-activity detector alone decides
        self._held = self._HOLD if person else max(0, self._held - 1)
        return self._held > 0

    def _power(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        spectrum = np.fft.rfft(samples * self._window)
        return np.asarray(self._pick @ (spectrum.real**2 + spectrum.imag**2) / self._SIZE, np.float64)

    def _learn(
        self, heard_db: NDArray[np.float64], lasting_db: NDArray[np.float64], active: NDArray[np.bool_], person: bool
    ) -> None:
        ratio = heard_db - lasting_db
        if active.all():
            self._ratios[self._at % len(self._ratios)] = ratio
            self._at += 1
        away = ratio - self._rest_db
        speed = np.where(away > 0.0, 0.004 if person else 0.08, 0.0 if person else 0.02)
        self._rest_db = np.where(active, self._rest_db + speed * away, self._rest_db)
        if not person:
            wide = self._wide_db + 0.02 * (np.clip(np.abs(away), 1.0, 12.0) - self._wide_db)
            self._wide_db = np.where(active, wide, self._wide_db)
        quiet = heard_db < self._noise_db
        self._noise_db += np.where(quiet, 0.1, 0.002 if not self.voice else 0.0) * (heard_db - self._noise_db)

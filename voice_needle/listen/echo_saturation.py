"""A small loudspeaker driven too hard: at which level it stops following, learnt from what the microphone hears of it.

A linear canceller cannot take away what the loudspeaker added. A memoryless saturation before a linear room (a Hammerstein
system) is what small speakers and their amplifiers come close to; the curve is Rapp's model of an amplifier with p = 2
(C. Rapp, "Effects of HPA-Nonlinearity on a 4-DPSK/OFDM-Signal ...", 1991): x / sqrt(1 + (x / limit)^2). Of a dozen limits, that
one is taken whose output explains most of the microphone: the least part that is not coherent with it (Welch's averages).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples, slide

_SEGMENT = 8_192  # samples, 0.5 s: longer than a room's reverberation
_HOP = 20  # frames between two segments
_RARELY = 80  # the same, once nothing new was learnt from _SETTLED segments
_SETTLED = 30
_LOUDEST, _STEP = 40_000.0, 0.5  # LSB, octaves
_LIMITS = _LOUDEST / 2.0 ** (_STEP * np.arange(13))  # 40,000 to 625 LSB
_KEEP = 0.9  # of the averages, a segment
_ENOUGH = 6  # segments
_WORTH = 0.8  # the unexplained part must become so much smaller before the loudspeaker counts as bent at all
_FINER = 0.25  # steps: a limit that lies nearer to the one in use is the same
_QUIET = 100.0  # RMS of the reference, LSB: less teaches nothing


class Saturation:
    """Learns while only our own voice is heard, and bends the reference as the loudspeaker does."""

    def __init__(self) -> None:
        self.limit = float("inf")  # LSB; inf: linear
        self._microphone = np.zeros(_SEGMENT, np.float32)
        self._reference = np.zeros(_SEGMENT, np.float32)
        self._window = np.hanning(_SEGMENT).astype(np.float32)
        hz = np.fft.rfftfreq(_SEGMENT, 1.0 / SAMPLE_RATE_HZ)
        self._band = (hz >= 150.0) & (hz < 7_000.0)
        self._frames = self._clean = self._since = 0
        self.forget()

    def forget(self) -> None:
        """The path changed: the averages are of another one. The loudspeaker is the same."""
        bins, curves = int(self._band.sum()), len(_LIMITS) + 1
        self._cross = np.zeros((curves, bins), np.complex64)
        self._played = np.zeros((curves, bins), np.float32)
        self._heard = np.zeros(bins, np.float32)
        self._segments = 0

    def bend(self, reference: Samples) -> Samples:
        """(n,) as it leaves the loudspeaker."""
        if self.limit == float("inf"):
            return reference
        return np.asarray(np.rint(bent(reference.astype(np.float32), self.limit)), np.int16)

    def feed(self, microphone: Samples, reference: Samples, ours: bool) -> bool:
        """The next (160,) of both, aligned. ours: nothing but our voice is in it. True when another limit was taken."""
        slide(self._microphone, microphone)
        slide(self._reference, reference)
        self._clean = self._clean + 1 if ours else 0
        self._frames += 1
        if self._frames % (_HOP if self._since < _SETTLED else _RARELY) or self._clean < _SEGMENT // FRAME_SAMPLES:
            return False
        if float(np.mean(self._reference**2)) < _QUIET**2:
            return False
        self._add()
        changed = self._segments >= _ENOUGH and self._choose()
        self._since = 0 if changed else self._since + 1
        return changed

    def _add(self) -> None:
        heard = np.fft.rfft(self._microphone * self._window)[self._band]
        curves = [self._reference, *(bent(self._reference, limit) for limit in _LIMITS)]
        played = np.fft.rfft(np.stack(curves) * self._window, axis=1)[:, self._band]
        self._cross = _KEEP * self._cross + (np.conj(played) * heard).astype(np.complex64)
        self._played = _KEEP * self._played + np.abs(played).astype(np.float32) ** 2
        self._heard = _KEEP * self._heard + np.abs(heard).astype(np.float32) ** 2
        self._segments += 1

    def unexplained(self) -> NDArray[np.float64]:
        """(1 + limits,) the share of the microphone's power that no linear path makes of the reference: linear first."""
        explained = np.abs(self._cross) ** 2 / (self._played + 1e-3)
        total = float(self._heard.sum()) + 1e-3
        return np.asarray(np.maximum(1.0 - explained.sum(axis=1) / total, 1e-6), np.float64)

    def _choose(self) -> bool:
        left = np.log(self.unexplained())
        best = int(np.argmin(left[1:]))
        if left[1 + best] > left[0] + np.log(_WORTH):
            place, limit = -1.0, float("inf")
        else:
            place = best + _top(left[1:], best)
            limit = _LOUDEST / 2.0 ** (_STEP * place)
        now = np.log2(_LOUDEST / self.limit) / _STEP if np.isfinite(self.limit) else -1.0
        if limit == self.limit or (np.isfinite(self.limit) and np.isfinite(limit) and abs(place - now) < _FINER):
            return False
        self.limit = limit
        return True


def _top(values: NDArray[np.float64], at: int) -> float:
    """Where between its neighbours the lowest point of the parabola through them lies: -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, low, after = values[at - 1 : at + 2]
    curve = before - 2.0 * low + after
    return float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5)) if curve > 0.0 else 0.0


def bent(samples: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """Rapp's curve: straight for the quiet, never above `limit`."""
    return np.asarray(samples / np.sqrt(1.0 + np.square(samples / np.float32(limit))), np.float32)

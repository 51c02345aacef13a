"""Where our own voice lies in the microphone: what was played on a time line, and its delay.

The delay is found by cross-correlation (GCC-PHAT: Knapp and Carter, 1976), and looked for again all the time: sound cards drift.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples, as_samples, slide, to_samples

REALIGN_S = 0.05  # clocks may disagree by so much before sound is taken to be lost
IDLE = 100  # frames without anything played, after which a canceller's memory holds none of it: there is nothing to cancel
_TAPS = 16  # of the interpolation between samples
_JUMP = 2.0  # samples: more is no drift; a device lost or doubled sound, or the clocks went apart in a long silence
_GONE = 0.3  # of the new peak: less than that is left where the old one was
_FALL = 480  # samples at the end of the finder's window
_STILL = 0.04  # samples a second (2.5 ppm): slower drift is left to the filter


class TimeLine:
    """What was played, by sample. Blocks follow each other; a block whose time says otherwise leaves a gap."""

    def __init__(self, keep_s: float = 4.0) -> None:
        self._keep = round(keep_s * SAMPLE_RATE_HZ)
        self._samples: Samples = np.zeros(2 * self._keep, np.int16)
        self._first = 0  # index of _samples[0] on the time line
        self.end = 0  # index after the last sample; 0 is time 0
        self._began = False
        self.gaps = 0

    def add(self, block: Samples, time_s: float) -> None:
        at = round(time_s * SAMPLE_RATE_HZ)
        if not self._began:
            self._began, self._first, self.end = True, at - self._keep, at
        elif abs(at - self.end) > REALIGN_S * SAMPLE_RATE_HZ:
            self.gaps += 1
            if at < self.end or at > self.end + self._keep:
                self._samples[:] = 0
                self._first = at - self._keep
            self.end = at
        if self.end + len(block) - self._first > len(self._samples):
            drop = self.end - self._keep - self._first
            self._samples[:-drop] = self._samples[drop:].copy()
            self._samples[-drop:] = 0
            self._first += drop
        place = self.end - self._first
        self._samples[place : place + len(block)] = block
        self.end += len(block)

    def read(self, at: int, count: int) -> Samples:
        """(count,) from index `at`; silence where nothing was played."""
        out = np.zeros(count, np.int16)
        low, high = max(at, self._first), min(at + count, self.end)
        if high > low:
            out[low - at : high - at] = self._samples[low - self._first : high - self._first]
        return out

    def read_between(self, at: float, step: float, count: int) -> Samples:
        """(count,) at positions at, at + step, ... that lie between samples: windowed-sinc interpolation."""
        wanted = at + step * np.arange(count)
        first = int(np.floor(wanted[0])) - _TAPS // 2 + 1
        near = self.read(first, count + _TAPS + 2).astype(np.float32)
        base = np.floor(wanted).astype(int)
        taps = np.arange(_TAPS) - _TAPS // 2 + 1
        offsets = taps[np.newaxis, :] - (wanted - base)[:, np.newaxis]
        kernel = np.sinc(offsets) * (0.5 + 0.5 * np.cos(np.pi * np.clip(offsets / (_TAPS / 2), -1.0, 1.0)))
        found = np.sum(near[(base - first)[:, np.newaxis] + taps] * kernel, axis=1)
        return as_samples(found)


class Drift:
    """The delay as a straight line over time: two sound cards' clocks never agree. Positions in samples, times in seconds."""

    _LONGEST_S = 30.0
    _ENOUGH_S = 4.0

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self.per_s = 0.0  # samples a second

    def add(self, time_s: float, delay: float) -> None:
        if self._points and abs(delay - self.at(time_s)) > 24.0:  # the path changed, or sound was lost: a new line
            self._points.clear()
            self.per_s = 0.0
        self._points = [point for point in self._points if time_s - point[0] < self._LONGEST_S] + [(time_s, delay)]
        times, delays = np.array(self._points).T
        if len(times) >= 8 and times[-1] - times[0] >= self._ENOUGH_S:
            slope, offset = np.polyfit(times - times[-1], delays, 1)
            worst = float(np.median(np.abs(delays - (offset + slope * (times - times[-1])))))
            self.per_s = float(slope) if abs(slope) >= _STILL and worst < 1.0 else 0.0

    def at(self, time_s: float) -> float:
        """The delay expected at `time_s`."""
        if self.per_s == 0.0:
            return self._points[-1][1]
        times, delays = np.array(self._points).T
        return float(np.mean(delays - self.per_s * (times - time_s)))


class DelayFinder:
    """How many samples after its playing our voice reaches the microphone; None while that is not known.

    lowest_ms, highest_ms: where it is looked for. Each `feed` costs little; one in 25 costs an FFT of 2 s.
    """

    _WINDOW = 20_480  # 1.28 s
    _SIZE = 32_768
    _SURE = 7.0  # peak over the standard deviation of all lags
    _EARLY = (12, 20, 30, 40)  # loud frames of an answer: when it is looked for out of turn
    _OBVIOUS = 14.0  # of one look alone: what was found before is out of date

    def __init__(self, lowest_ms: float = -60.0, highest_ms: float = 500.0) -> None:
        self._lags = np.arange(to_samples(lowest_ms), to_samples(highest_ms))
        self._microphone = np.zeros(self._WINDOW, np.float32)
        self._reference = np.zeros(self._WINDOW, np.float32)
        self._rested: deque[Samples] = deque(maxlen=self._WINDOW // FRAME_SAMPLES)
        self._frames = self._quiet = self._active = 0
        self._mean: NDArray[np.float64] | None = None
        self.found: float | None = None  # between samples where two neighbours are nearly as likely
        self.jumped = 0.0  # samples, at the last look
        self.sureness = 0.0
        hz = np.fft.rfftfreq(self._SIZE, 1.0 / SAMPLE_RATE_HZ)
        self._band = ((hz > 200.0) & (hz < 6_000.0)).astype(np.float32)
        # The newest sound counts: an answer is to be found in its first half second.
        rise, fall = np.hanning(2 * (self._WINDOW - _FALL))[: self._WINDOW - _FALL], np.hanning(2 * _FALL)[_FALL:]
        self._window = np.concatenate([rise, fall]).astype(np.float32)

    def feed(self, microphone: Samples, reference: Samples) -> bool:
        """One frame of both, at the same time. True when the delay was looked for again."""
        if self._rested:
            rest = np.concatenate(self._rested)[-self._WINDOW :]
            self._rested.clear()
            slide(self._microphone, rest)
            slide(self._reference, np.zeros_like(rest))
        slide(self._microphone, microphone)
        slide(self._reference, reference)
        self._frames += 1
        loud = float(np.mean(reference.astype(np.float32) ** 2)) > 50.0**2
        self._quiet = 0 if loud else self._quiet + 1
        self._active = 0 if self._quiet > IDLE else self._active + loud
        if self._frames < self._WINDOW // FRAME_SAMPLES:
            return False  # two streams that begin together look alike for that alone
        early = loud and self._active in self._EARLY
        if not early and (self._frames % 25 or float(np.mean(self._reference**2)) < 50.0**2):
            return False
        return self._look()

    def rest(self, microphone: Samples) -> None:
        """One frame while nothing is played, and was not for a while: kept, but nothing is looked for."""
        self._rested.append(microphone)
        self._active = 0

    def _look(self) -> bool:
        # The end of the microphone's window only: echo of all lags that are looked for has its cause in the reference's.
        spectrum = np.fft.rfft(self._microphone * self._window, self._SIZE)
        spectrum = spectrum * np.conj(np.fft.rfft(self._reference * self._window, self._SIZE))
        phase = spectrum / np.maximum(np.abs(spectrum), 1e-9) * self._band
        correlation = np.fft.irfft(phase, self._SIZE)[self._lags]
        self.jumped = self._jump(correlation)
        self._mean = correlation if self._mean is None or self.jumped else 0.6 * self._mean + 0.4 * correlation
        spread = float(np.std(self._mean)) + 1e-12
        at = int(np.argmax(self._mean))
        self.sureness = float(self._mean[at]) / spread
        if self.sureness >= self._SURE:
            self.found = float(self._lags[at]) + self._between(at)
        return self.sureness >= self._SURE

    def _jump(self, correlation: NDArray[np.float64]) -> float:
        """How far the delay is from what was found, where this look alone leaves no doubt of it; else 0.

        A reflection that for once is stronger than the direct sound is no jump: of that something is still heard.
        """
        if self.found is None:
            return 0.0
        at, before = int(np.argmax(correlation)), round(self.found) - int(self._lags[0])
        top, near = float(correlation[at]), correlation[max(0, before - 2) : before + 3]
        if abs(at - before) <= _JUMP or top < self._OBVIOUS * float(np.std(correlation)):
            return 0.0
        return float(at - before) if not len(near) or float(near.max()) < _GONE * top else 0.0

    def _between(self, at: int) -> float:
        """The parabola through the peak and its neighbours: where its top lies, -0.5 to 0.5."""
        assert self._mean is not None
        if not 0 < at < len(self._lags) - 1:
            return 0.0
        before, top, after = self._mean[at - 1 : at + 2]
        curve = before - 2.0 * top + after
        return float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5)) if curve < 0.0 else 0.0

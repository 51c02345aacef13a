"""Our own voice out of the microphone: a linear canceller for what is transcribed, and a gate for whether somebody speaks.

Cancellers with a strong suppressor (WebRTC's AEC3) never take the echo for a user, but take the user for echo while both
speak; a linear one (SpeexDSP) keeps the user's words, but lets some echo through before it has learnt the room, after the room
changed, or where the loudspeaker distorts. So the words come from the linear one, and the decision from how much is left of
what was played: in each band the share that usually remains is learnt, and only more than that counts as a person.

The reference is what the speaker really played (its tap). Where it lies in the microphone is found by cross-correlation
(GCC-PHAT: Knapp and Carter, 1976), and looked for again all the time: sound cards drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples, to_samples
from voice_needle.listen.echo_gate import Gate
from voice_needle.listen.echo_rehearsal import rehearsal
from voice_needle.listen.echo_saturation import Saturation

_REALIGN_S = 0.05  # clocks may disagree by so much before sound is taken to be lost
_MARGIN = 64  # samples of reference before the direct sound, so that the filter stays causal while the delay wanders
_TAPS = 16  # of the interpolation between samples
_IDLE = (
    100  # frames without anything played, after which a canceller's memory holds none of it: there is nothing to cancel
)
_STILL = 0.04  # samples a second (2.5 ppm): slower drift is left to the filter


class Canceller(Protocol):
    """A linear canceller: SpeexDSP, or another in a measurement."""

    def cancel(self, microphone: Samples, reference: Samples) -> Samples: ...
    def reset(self) -> None: ...


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
        elif abs(at - self.end) > _REALIGN_S * SAMPLE_RATE_HZ:
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
        return np.asarray(np.clip(np.rint(found), -32_768, 32_767), np.int16)


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

    def __init__(self, lowest_ms: float = -60.0, highest_ms: float = 500.0) -> None:
        self._lags = np.arange(to_samples(lowest_ms), to_samples(highest_ms))
        self._microphone = np.zeros(self._WINDOW, np.float32)
        self._reference = np.zeros(self._WINDOW, np.float32)
        self._frames = 0
        self._mean: NDArray[np.float64] | None = None
        self.found: float | None = None  # between samples where two neighbours are nearly as likely
        self.sureness = 0.0
        hz = np.fft.rfftfreq(self._SIZE, 1.0 / SAMPLE_RATE_HZ)
        self._band = ((hz > 200.0) & (hz < 6_000.0)).astype(np.float32)

    def feed(self, microphone: Samples, reference: Samples) -> bool:
        """One frame of both, at the same time. True when the delay was looked for again."""
        for buffer, frame in ((self._microphone, microphone), (self._reference, reference)):
            buffer[:-FRAME_SAMPLES] = buffer[FRAME_SAMPLES:]
            buffer[-FRAME_SAMPLES:] = frame
        self._frames += 1
        if self._frames < self._WINDOW // FRAME_SAMPLES:
            return False  # two streams that begin together look alike for that alone
        if self._frames % 25 or float(np.mean(self._reference**2)) < 50.0**2:
            return False
        return self._look()

    def _look(self) -> bool:
        # The end of the microphone's window only: echo of all lags that are looked for has its cause in the reference's.
        window = np.hanning(self._WINDOW).astype(np.float32)
        spectrum = np.fft.rfft(self._microphone * window, self._SIZE)
        spectrum = spectrum * np.conj(np.fft.rfft(self._reference * window, self._SIZE))
        phase = spectrum / np.maximum(np.abs(spectrum), 1e-9) * self._band
        correlation = np.fft.irfft(phase, self._SIZE)[self._lags]
        self._mean = correlation if self._mean is None else 0.6 * self._mean + 0.4 * correlation
        spread = float(np.std(self._mean)) + 1e-12
        at = int(np.argmax(self._mean))
        self.sureness = float(self._mean[at]) / spread
        if self.sureness >= self._SURE:
            self.found = float(self._lags[at]) + self._between(at)
        return self.sureness >= self._SURE

    def _between(self, at: int) -> float:
        """The parabola through the peak and its neighbours: where its top lies, -0.5 to 0.5."""
        assert self._mean is not None
        if not 0 < at < len(self._lags) - 1:
            return 0.0
        before, top, after = self._mean[at - 1 : at + 2]
        curve = before - 2.0 * top + after
        return float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5)) if curve < 0.0 else 0.0


@dataclass(frozen=True)
class Cleaned:
    """One frame after cancellation. samples: (160,) for the words; person: whether more is heard than our own voice explains."""

    samples: Samples
    person: bool


class EchoCanceller:
    """Give it every played block (`tap`) and every frame of the microphone (`process`), each with its time.

    canceller: the linear one; None: nothing is subtracted, and only the gate works. delay: samples, where it is known already.
    bends: learn how the loudspeaker saturates, too.
    """

    def __init__(self, canceller: Canceller | None, *, delay: int | None = None, bends: bool = True) -> None:
        self._canceller = canceller
        self._played = TimeLine()
        self._finder = DelayFinder()
        self._drift = Drift()
        self._gate = Gate()
        self._saturation, self._bends = Saturation(), bends
        self._position: int | None = None  # of the next frame on the reference's time line
        self._shift = 0.0
        self._slide = 0.0  # samples a frame by which the shift follows a drifting clock
        if delay is not None:
            self._aim(delay)
        self._silent = 0  # frames in which nothing was played
        self.realigned = 0
        self._before = self._after = 1.0

    @property
    def subtracts(self) -> bool:
        """Whether anything is taken out of the sound, or the gate alone works."""
        return self._canceller is not None

    @property
    def delay_ms(self) -> float | None:
        """From playing to hearing, as far as it is known."""
        return self._finder.found * 1000.0 / SAMPLE_RATE_HZ if self._finder.found is not None else None

    @property
    def drift_ppm(self) -> float:
        """How much slower the speaker's clock runs than the microphone's."""
        return self._drift.per_s / SAMPLE_RATE_HZ * 1e6

    @property
    def limit(self) -> float:
        """At which level the loudspeaker stops following, LSB; inf where it is straight."""
        return self._saturation.limit

    @property
    def removed_db(self) -> float:
        """How much of the echo is gone lately, while we spoke."""
        return 10.0 * float(np.log10(self._before / self._after))

    def tap(self, block: Samples, time_s: float) -> None:
        """A block as it is played, and when its first sample leaves the speaker."""
        self._played.add(block, time_s)

    def mistaken(self) -> None:
        """What was taken for a person just now was our own voice, or nothing: learn from it."""
        self._gate.mistaken()

    def rehearse(self, response: NDArray[np.float64], late: int = 0) -> None:
        """Learn a room that was measured, before anything is said in it; some 60 ms of work on a fast core.

        response: (n,) how the microphone hears one played sample, by its delay. late: samples to add to that delay, as far as
        the times of frames and taps can be trusted; where the canceller has found its own delay, that is the truth.
        """
        if self._canceller is None:
            return
        strongest = int(np.argmax(np.abs(response[: len(response) // 2])))
        delay = float(strongest + late)
        if self._finder.found is not None and abs(self._finder.found - delay) < _REALIGN_S * SAMPLE_RATE_HZ:
            delay = self._finder.found
        self._finder.found = delay
        self._aim(delay)
        self._canceller.reset()
        self._gate.unsure()
        played, heard = rehearsal(np.roll(response, round(delay - self._shift) - strongest))
        for at in range(0, len(played), FRAME_SAMPLES):
            self._canceller.cancel(heard[at : at + FRAME_SAMPLES], played[at : at + FRAME_SAMPLES])

    def process(self, frame: Samples, time_s: float) -> Cleaned:
        """The next (160,) of the microphone; time_s: when its first sample was heard, on the clock of the taps."""
        at = round(time_s * SAMPLE_RATE_HZ)
        if self._position is None or abs(at - self._position) > _REALIGN_S * SAMPLE_RATE_HZ:
            self._position = at
        now, self._position = self._position, self._position + FRAME_SAMPLES
        playing = self._played.read(now, FRAME_SAMPLES)
        self._silent = 0 if playing.any() else self._silent + 1
        if self._silent > _IDLE + max(0.0, self._shift) / FRAME_SAMPLES:
            return Cleaned(frame, self._gate.feed(frame, playing))
        if self._finder.feed(frame, playing):
            self._follow(now)
        if self._slide:
            reference = self._played.read_between(now - self._shift, 1.0 - self._slide / FRAME_SAMPLES, FRAME_SAMPLES)
            self._shift += self._slide
        else:
            reference = self._played.read(now - round(self._shift), FRAME_SAMPLES)
        bent = self._saturation.bend(reference)
        clean = self._canceller.cancel(frame, bent) if self._canceller is not None else frame
        person = self._gate.feed(clean, bent)
        if self._bends and self._saturation.feed(frame, reference, self._gate.voice and not person):
            self._gate.unsure()
        if self._gate.voice and not person:
            self._before = 0.98 * self._before + 0.02 * (1.0 + float(np.mean(frame.astype(np.float32) ** 2)))
            self._after = 0.98 * self._after + 0.02 * (1.0 + float(np.mean(clean.astype(np.float32) ** 2)))
        return Cleaned(clean, person)

    def _follow(self, now: int) -> None:
        """Keep the reference where the echo is: slide along with a drifting clock, jump only out of the canceller's window."""
        found = self._finder.found
        assert found is not None
        time_s = now / SAMPLE_RATE_HZ
        self._drift.add(time_s, found)
        expected = self._drift.at(time_s)
        place = expected - self._shift  # of the direct sound within the canceller's window
        if not min(0.0, expected) <= place <= _MARGIN * 16:
            self._aim(expected)
            self.realigned += 1
            if self._canceller is not None:
                self._canceller.reset()
            self._gate.unsure()
            self._saturation.forget()
        self._slide = self._drift.per_s * FRAME_SAMPLES / SAMPLE_RATE_HZ

    def _aim(self, delay: float) -> None:
        # Of a direct sound that is heard as soon as it is played there is nothing before.
        self._shift = float(round(delay - _MARGIN if delay >= _MARGIN else min(delay, 0.0)))

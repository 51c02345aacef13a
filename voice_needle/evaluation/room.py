"""An acoustic room on the scripted clock: the user and our own voice reach one microphone, each by its own path.

The room is a speaker (`Room.sink`) and a microphone (`Room.source`) for an assistant. What the sink plays goes through
soft clipping, a delay, a drifting clock and a room response, then to the microphone; so does what `say` and `make` put
into the room. Everything is sample-accurate and drawn from one seed: the same scenario gives the same sound each time.

Room responses are exponentially decaying noise after a direct path (Polack's model: late reverberation of a decay time), which
is all an echo canceller can tell from a measured one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import (
    BLOCK_MS,
    BLOCK_SAMPLES,
    FRAME_MS,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    Samples,
    as_samples,
    to_samples,
)
from voice_needle.clock import ScriptedClock
from voice_needle.speak.sinks import NullSink

Sound = NDArray[np.float32]
USER_DBFS = -30.0  # speech of the user at the microphone: leaves room for an echo 12 dB above it
_SINC = 16  # taps of the interpolation that a drifting clock needs


@dataclass(frozen=True)
class Acoustics:
    """How a room sounds. echo_db: our voice against the user's, both at the microphone; None: no echo at all.

    delay_ms: from our playing to its arrival. drift_ppm: how much faster the microphone's clock runs. clip: soft clipping of the
    loudspeaker, tanh with this drive (0: linear; 3: a small speaker driven too hard). decay_s: reverberation time (60 dB).
    noise_dbfs: steady noise at the microphone. path_change_s: the echo path is another from this moment on.
    """

    echo_db: float | None = 0.0
    delay_ms: float = 20.0
    drift_ppm: float = 0.0
    clip: float = 0.0
    decay_s: float = 0.2
    noise_dbfs: float = -75.0
    path_change_s: float | None = None
    seed: int = 0


def active_rms(samples: Samples) -> float:
    """Root mean square of the frames in which something is heard, LSB; 0 for silence."""
    whole = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].astype(np.float64).reshape(-1, FRAME_SAMPLES)
    if not whole.size:
        return 0.0
    power = np.mean(whole**2, axis=1)
    loud = power[power > np.max(power) * 1e-3]
    return float(np.sqrt(np.mean(loud))) if loud.size else 0.0


def response(decay_s: float, rng: np.random.Generator, direct: float = 1.0) -> Sound:
    """A room response of unit energy: the direct sound, then noise that falls by 60 dB in `decay_s`."""
    length = max(2, round(decay_s * SAMPLE_RATE_HZ))
    tail = rng.normal(size=length) * 10.0 ** (-3.0 * np.arange(length) / length)
    tail[: to_samples(2.0)] = 0.0
    tail *= 0.7 * direct / np.sqrt(np.sum(tail**2))
    tail[0] = direct
    return np.asarray(tail / np.sqrt(np.sum(tail**2)), np.float32)


def convolved(samples: NDArray[np.floating] | Samples, path: Sound) -> Sound:
    """Full linear convolution by FFT: (n,) with (m,) -> (n + m - 1,)."""
    length = len(samples) + len(path) - 1
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(samples.astype(np.float32), size) * np.fft.rfft(path, size)
    return np.asarray(np.fft.irfft(spectrum, size)[:length], np.float32)


def _rms_after(clip_at: float, rms: float) -> float:
    """The level of speech (Laplacian amplitudes of this RMS) after soft clipping."""
    amplitude = np.linspace(0.0, 20.0 * rms, 20_000)
    weight = np.exp(-amplitude * np.sqrt(2.0) / rms)
    return float(np.sqrt(np.sum(weight * (np.tanh(amplitude / clip_at) * clip_at) ** 2) / np.sum(weight)))


class Room:
    """One room with its loudspeaker and microphone. voice_rms: level of our voice as played, LSB (of its loud frames)."""

    def __init__(self, clock: ScriptedClock, acoustics: Acoustics | None = None, *, voice_rms: float = 3_000.0) -> None:
        self.clock, self.acoustics = clock, acoustics or Acoustics()
        self._rng = np.random.default_rng(self.acoustics.seed)
        decay = self.acoustics.decay_s
        self._user_path, *self._echo_paths = (response(decay, self._rng, direct) for direct in (1.0, 0.8, 0.5))
        level = 32_768.0 * 10.0 ** (USER_DBFS / 20.0)
        self._user_rms = level
        echo_db = self.acoustics.echo_db
        self._echo_gain = 0.0 if echo_db is None else level * 10.0 ** (echo_db / 20.0) / voice_rms
        self._clip_at = voice_rms * 4.0 / max(self.acoustics.clip, 1e-9)  # peaks of speech lie 12 dB above its RMS
        if self.acoustics.clip:
            self._echo_gain *= voice_rms / _rms_after(self._clip_at, voice_rms)
        self._user = _Track()
        self._echo = _Track()
        self._played_blocks = 0
        self.position = 0  # samples the microphone has given
        self.recorded: list[Samples] | None = None
        self.sink = RoomSink(self)
        self.source = RoomSource(self)

    # --- what is in the room ---

    def say(self, samples: Samples, at: int | None = None, level_db: float = 0.0) -> tuple[int, int]:
        """A person speaks from sample `at` (now, by default). level_db: against the usual. First and last sample of it."""
        start = self.position if at is None else at
        gain = self._user_rms * 10.0 ** (level_db / 20.0) / max(1.0, active_rms(samples))
        self._user.add(convolved(samples * np.float32(gain), self._user_path), start)
        return start, start + len(samples)

    def make(self, sound: Samples, at: int | None = None, snr_db: float = 0.0) -> tuple[int, int]:
        """A noise in the room, `snr_db` under the usual level of speech."""
        return self.say(sound, at, -snr_db)

    def play(self, block: Samples) -> None:
        """What the loudspeaker plays next, one block; called by the sink."""
        start = self._played_blocks * BLOCK_SAMPLES
        self._played_blocks += 1
        if not self._echo_gain or not block.any():
            return
        loud = block.astype(np.float32)
        if self.acoustics.clip:
            loud = np.tanh(loud / self._clip_at) * self._clip_at
        change = self.acoustics.path_change_s
        changed = change is not None and start >= change * SAMPLE_RATE_HZ
        path = self._echo_paths[1 if changed else 0]
        self._echo.add(convolved(loud * np.float32(self._echo_gain), path), start)

    # --- what the microphone hears ---

    def frame(self) -> Samples:
        """The next (160,) of the microphone."""
        at, self.position = self.position, self.position + FRAME_SAMPLES
        noise = 32_768.0 * 10.0 ** (self.acoustics.noise_dbfs / 20.0)
        sound = self._user.read(at, FRAME_SAMPLES) + self._echo_at(at)
        sound = sound + self._rng.normal(0.0, noise, FRAME_SAMPLES)
        heard = as_samples(sound)
        if self.recorded is not None:
            self.recorded.append(heard)
        return heard

    def _echo_at(self, at: int) -> NDArray[np.float64]:
        """Our voice at the microphone's samples at, at+1, ...: those lie between the loudspeaker's where its clock drifts."""
        delay = self.acoustics.delay_ms * SAMPLE_RATE_HZ / 1000.0
        step = 1.0 - self.acoustics.drift_ppm * 1e-6
        wanted = (at + np.arange(FRAME_SAMPLES)) * step - delay
        first = int(np.floor(wanted[0])) - _SINC // 2 + 1
        near = self._echo.read(first, FRAME_SAMPLES + _SINC + 1)
        if not near.any():
            return np.zeros(FRAME_SAMPLES)
        base = np.floor(wanted).astype(int)
        fraction = wanted - base
        if not fraction.any():
            return np.asarray(near[base - first], np.float64)
        taps = np.arange(_SINC) - _SINC // 2 + 1
        offsets = taps[np.newaxis, :] - fraction[:, np.newaxis]
        kernel = np.sinc(offsets) * (0.5 + 0.5 * np.cos(np.pi * np.clip(offsets / (_SINC / 2), -1, 1)))
        return np.asarray(np.sum(near[(base - first)[:, np.newaxis] + taps] * kernel, axis=1))


class _Track:
    """Sound on a time line that is added to ahead of being read; what was read is forgotten after a while."""

    _KEEP = SAMPLE_RATE_HZ  # a delay may reach back so far

    def __init__(self) -> None:
        self._start = 0
        self._samples: Sound = np.zeros(0, np.float32)

    def add(self, sound: Sound, at: int) -> None:
        at = max(at, self._start)
        end = at + len(sound) - self._start
        if end > len(self._samples):
            self._samples = np.concatenate([self._samples, np.zeros(end - len(self._samples) + 4 * 16_000, np.float32)])
        self._samples[at - self._start : end] += sound

    def read(self, at: int, count: int) -> Sound:
        out = np.zeros(count, np.float32)
        low, high = at - self._start, at - self._start + count
        first, last = max(0, low), min(len(self._samples), high)
        if last > first:
            out[first - low : last - low] = self._samples[first:last]
        if low > 4 * self._KEEP:
            drop = low - self._KEEP
            self._samples, self._start = self._samples[drop:], self._start + drop
        return out


class RoomSource:
    """The room's microphone: drives the scripted clock. Ends when `until` says so, or when closed."""

    name = "room"
    overruns = 0

    def __init__(self, room: Room) -> None:
        self._room = room
        self._closed = False
        self.frame_time_s = 0.0
        self.ended = asyncio.Event()
        self.each_frame: Callable[[], None] = lambda: None

    async def frames(self) -> AsyncIterator[Samples]:
        """(160,) frames, 10 ms of scripted time each."""
        while not self._closed:
            await self._room.clock.advance(FRAME_MS / 1000.0)
            self.each_frame()
            self.frame_time_s = self._room.position / SAMPLE_RATE_HZ
            yield self._room.frame()

    async def close(self) -> None:
        self._closed = True


class RoomSink(NullSink):
    """The room's loudspeaker. As with a sound card, its taps get a block before that is heard."""

    name = "room"

    def __init__(self, room: Room) -> None:
        super().__init__(clock=room.clock)
        self._room = room
        self.track: list[Samples] | None = None

    async def _run(self) -> None:
        start = due = self._clock.monotonic()
        while True:
            block, _ = self._queue.take(BLOCK_SAMPLES)
            position = self._queue.read
            self._room.play(block)
            if self.track is not None:
                self.track.append(block)
            for tap in self._taps:
                tap(block, due - start)
            due += BLOCK_MS / 1000.0
            await self._clock.sleep(due - self._clock.monotonic())
            self._heard = position
            self._moved.set()


# --- noises that are no words ----------------------------------------------------------------------------------------


def cough(seed: int = 0) -> Samples:
    """Two bursts of noise, shaped as a cough is: 0.25 s and 0.2 s, energy between 0.3 and 3 kHz."""
    rng = np.random.default_rng(seed)
    parts = []
    for length_s, pause_s in ((0.25, 0.12), (0.2, 0.0)):
        count = round(length_s * SAMPLE_RATE_HZ)
        envelope = np.exp(-np.arange(count) / (0.06 * SAMPLE_RATE_HZ)) * np.minimum(1.0, np.arange(count) / 100.0)
        parts += [_band(rng.normal(size=count), 300.0, 3_000.0) * envelope, np.zeros(round(pause_s * SAMPLE_RATE_HZ))]
    return _scaled(np.concatenate(parts))


def door(seed: int = 0) -> Samples:
    """A door that falls shut: a low thump of 0.3 s with a click at its start."""
    rng = np.random.default_rng(seed)
    count = round(0.35 * SAMPLE_RATE_HZ)
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    thump = np.sin(2 * np.pi * 85.0 * time_s) * np.exp(-time_s / 0.08)
    rattle = _band(rng.normal(size=count), 200.0, 2_500.0) * np.exp(-time_s / 0.03)
    return _scaled(thump + 0.8 * rattle)


def music(seconds: float, seed: int = 0) -> Samples:
    """Chords of decaying harmonics over a beat: pitched, rhythmic, no words."""
    rng = np.random.default_rng(seed)
    total = np.zeros(round(seconds * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ)
    for beat in range(round(seconds / 0.4)):
        start = round(beat * 0.4 * SAMPLE_RATE_HZ)
        count = round(0.6 * SAMPLE_RATE_HZ)
        time_s = np.arange(count) / SAMPLE_RATE_HZ
        for note in rng.choice([0, 3, 5, 7, 10, 12, 15], 3, replace=False):
            pitch = 196.0 * 2.0 ** (note / 12.0)
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * pitch * harmonic * time_s) / harmonic
                total[start : start + count] += wave * np.exp(-time_s / 0.25) * np.minimum(1.0, time_s / 0.01)
        total[start : start + 1_600] += (
            2.0 * _band(rng.normal(size=1_600), 2_000.0, 7_000.0) * np.exp(-np.arange(1_600) / 250)
        )
    return _scaled(total[: round(seconds * SAMPLE_RATE_HZ)])


def _band(noise: NDArray[np.float64], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(len(noise), 1.0 / SAMPLE_RATE_HZ)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0.0
    return np.asarray(np.fft.irfft(spectrum, len(noise)))


def _scaled(sound: NDArray[np.float64]) -> Samples:
    return np.asarray(np.rint(sound / np.max(np.abs(sound)) * 16_000.0)).astype(np.int16)

"""The echo self-test: play a chirp, listen to it, and say how far the user may interrupt on these devices.

An exponential sweep, deconvolved, gives the response from speaker to microphone; harmonic distortion comes out before it, apart
from it (A. Farina, "Simultaneous measurement of impulse response and distortion with a swept-sine technique", 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, to_ms, to_samples

CHIRP_MS = 1_000.0
LISTEN_MS = 800.0  # after the chirp: the longest delay and the room's reverberation
SLOWEST_MS = 2_500.0  # until the chirp has begun to play, and its sound has come back through the devices
LOW_HZ, HIGH_HZ = 150.0, 6_500.0
LEVEL = 4_000.0  # LSB of amplitude: about as loud as speech
LONGEST_DELAY_MS = 450.0
MODES = ("full", "duck-first", "stop-word", "off")


@dataclass(frozen=True)
class Verdict:
    """What the test found. mode: of barge-in; why: one sentence. Levels in dB; None where no echo was heard.

    leak_db: our voice at the microphone against what was played. distortion_db: second and third harmonic against the linear
    part. delay_ms: from playing to hearing.
    """

    mode: str
    why: str
    delay_ms: float | None = None
    leak_db: float | None = None
    distortion_db: float | None = None

    @property
    def degraded(self) -> bool:
        """The user can do less than interrupt at will."""
        return self.mode != "full"

    @property
    def spoken(self) -> str:
        """What the user should know of it; empty when all is well."""
        return {
            "duck-first": "My speaker distorts, so speak up when you interrupt me.",
            "stop-word": "I cannot tell my voice from yours. While I speak, only stop and cancel count.",
            "off": "I cannot listen while I speak. Please wait until I have finished.",
        }.get(self.mode, "")


def chirp() -> Samples:
    """(16000,) an exponential sweep with soft ends."""
    time_s = np.arange(to_samples(CHIRP_MS)) / SAMPLE_RATE_HZ
    length_s, ratio = CHIRP_MS / 1000.0, np.log(HIGH_HZ / LOW_HZ)
    wave = np.sin(2 * np.pi * LOW_HZ * length_s / ratio * (np.exp(time_s / length_s * ratio) - 1.0))
    fade = np.minimum(1.0, np.minimum(time_s, time_s[::-1]) / 0.02)
    return np.asarray(np.rint(wave * fade * LEVEL), np.int16)


def judge(heard: Samples, noise: Samples, *, reference: bool = True, canceller: bool = True) -> Verdict:
    """heard: (n,) of the microphone from the moment the chirp began to play, LISTEN_MS longer than it; noise: from before.

    reference: what is played can be had; canceller: there is one. A microphone that gave nothing has `heard` empty.
    """
    if not reference and not len(heard):
        return Verdict("stop-word", "what the speaker plays is not known, so its echo cannot be told from a voice")
    if len(heard) < to_samples(CHIRP_MS):
        return Verdict("off", "the microphone gives no sound while the speaker plays")
    delay, leak_db, distortion_db, sure = measure(heard)
    loudness, quiet = _power(heard), _power(noise)
    if not sure or (loudness < 2.0 * quiet and leak_db < -40.0):
        return Verdict("full", "no echo reaches the microphone")
    found = (to_ms(delay), leak_db, distortion_db)
    if not reference:
        return Verdict("stop-word", "there is echo, and what the speaker plays is not known", *found)
    if not canceller:
        return Verdict("stop-word", "there is echo, and libspeexdsp is not installed to cancel it", *found)
    if to_ms(delay) > LONGEST_DELAY_MS:
        return Verdict("stop-word", f"the echo comes {to_ms(delay):.0f} ms late: too late to cancel", *found)
    if distortion_db > -14.0:
        return Verdict(
            "duck-first", f"the speaker distorts ({distortion_db:.0f} dB): not all echo can be cancelled", *found
        )
    return Verdict("full", "the echo can be cancelled", *found)


def impulse_response(heard: Samples) -> NDArray[np.float64]:
    """(n,) how the room answers one sample, by its delay; the end of it: distortion, which comes before. heard: from the chirp's beginning."""
    played = chirp().astype(np.float64)
    size = 1 << (len(heard) + len(played)).bit_length()
    spectrum = np.fft.rfft(played, size)
    power = np.abs(spectrum) ** 2
    found = np.fft.rfft(heard.astype(np.float64), size) * np.conj(spectrum) / (power + power.max() * 1e-4)
    return np.asarray(np.fft.irfft(found, size), np.float64)


def measure(heard: Samples) -> tuple[int, float, float, bool]:
    """Delay in samples, leak and distortion in dB, and whether there is an echo at all. heard: from the chirp's beginning."""
    played, response = chirp().astype(np.float64), impulse_response(heard)
    causal = response[: len(heard)]
    at = int(np.argmax(np.abs(causal)))
    sure = bool(np.abs(causal[at]) > 12.0 * np.median(np.abs(response)))
    first = int(
        np.argmax(np.abs(causal) > 0.5 * np.abs(causal[at]))
    )  # a reflection may be stronger than the direct sound
    linear = _energy(response, first - 40, first + to_samples(200.0))
    harmonics = 0.0
    for order in (2, 3):
        ahead = CHIRP_MS / 1000.0 * np.log(order) / np.log(HIGH_HZ / LOW_HZ) * SAMPLE_RATE_HZ
        begin, length = first - round(ahead), to_samples(60.0)
        noise = _energy(response, begin - 40 - length, begin - 40)  # just before, nothing but noise is expected
        harmonics += max(0.0, _energy(response, begin - 40, begin - 40 + length) - noise)
    gain = np.sum(heard.astype(np.float64) ** 2) / np.sum(played**2)
    return first, 10.0 * float(np.log10(gain + 1e-12)), 10.0 * float(np.log10(harmonics / linear + 1e-12)), sure


def _energy(response: np.ndarray[tuple[int], np.dtype[np.float64]], begin: int, end: int) -> float:
    return float(np.sum(response[np.arange(begin, end) % len(response)] ** 2)) + 1e-30


def _power(samples: Samples) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0

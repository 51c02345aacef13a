"""A loudspeaker that is driven too hard is seen through: its limit is learnt, and what it added is cancelled, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.evaluation.room import convolved, response
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.echo_saturation import Saturation, bent
from voice_needle.listen.speex import SpeexEcho

RMS = 2_000.0
Curve = Callable[[np.ndarray], np.ndarray]


def voice(seconds: float, seed: int = 0) -> Samples:
    """Bursts with the amplitudes of speech: many small, few large."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE_HZ)
    sound = np.convolve(rng.laplace(size=count), np.hanning(7), "same")
    loudness = np.repeat(rng.choice([0.1, 0.6, 1.0], count // 2_400 + 1), 2_400)[:count]
    sound *= loudness
    return np.asarray(np.clip(np.rint(sound / np.std(sound) * RMS), -32_768, 32_767), np.int16)


def heard(played: Samples, curve: Curve, seed: int = 0, gain: float = 0.3) -> Samples:
    """It at the microphone, 4 ms later, with a little noise."""
    rng = np.random.default_rng(seed)
    path = np.concatenate([np.zeros(64, np.float32), response(0.2, rng)])
    sound = convolved(gain * curve(played.astype(np.float64)), path)[: len(played)]
    return np.asarray(np.rint(sound + rng.normal(0.0, 3.0, len(played))), np.int16)


def tanh(limit: float) -> Curve:
    return lambda x: np.tanh(x / limit) * limit


def frames(sound: Samples) -> list[Samples]:
    return [sound[at : at + FRAME_SAMPLES] for at in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


def learnt(played: Samples, microphone: Samples, ours: Callable[[int], bool] = lambda number: True) -> Saturation:
    found = Saturation()
    for number, (one, other) in enumerate(zip(frames(microphone), frames(played), strict=True)):
        found.feed(one, other, ours(number))
    return found


@pytest.mark.parametrize("limit", [1_500.0, 2_600.0, 5_000.0])
def test_the_limit_is_found_though_the_curve_is_another(limit: float):
    played = voice(6.0)
    assert learnt(played, heard(played, tanh(limit))).limit == pytest.approx(limit, rel=0.3)


def test_a_straight_loudspeaker_stays_straight():
    played = voice(6.0)
    found = learnt(played, heard(played, lambda x: x))
    assert found.limit == float("inf")
    assert found.bend(played) is played


def test_nothing_is_learnt_while_somebody_else_speaks():
    played = voice(6.0)
    microphone = heard(played, tanh(1_500.0))
    assert learnt(played, microphone, ours=lambda number: number % 40 != 0).limit == float("inf")


def test_another_loudspeaker_is_noticed():
    first, second = voice(6.0), voice(12.0, seed=1)
    microphone = np.concatenate([heard(first, tanh(1_500.0)), heard(second, lambda x: x)])
    assert learnt(np.concatenate([first, second]), microphone).limit == float("inf")


@pytest.mark.parametrize(
    ("curve", "more_db"),
    [(tanh(2_000.0), 12.0), (lambda x: np.clip(x, -2_000.0, 2_000.0), 6.0), (lambda x: np.clip(x, -1_500.0, 2_500.0), 5.0)],
    ids=["soft", "hard", "lopsided"],
)  # fmt: skip
def test_more_of_a_bent_voice_is_taken_out(curve: Curve, more_db: float):
    played = voice(12.0)
    microphone = heard(played, curve)

    def left(bends: bool) -> float:
        echo = EchoCanceller(SpeexEcho(), delay=0, bends=bends)
        clean = []
        for number, (one, other) in enumerate(zip(frames(microphone), frames(played), strict=True)):
            echo.tap(other, number / 100.0)
            clean.append(echo.process(one, number / 100.0).samples)
        return float(np.mean(np.concatenate(clean[800:]).astype(float) ** 2))

    assert 10.0 * np.log10(left(False) / left(True)) > more_db


def test_the_curve_leaves_the_quiet_alone_and_never_passes_its_limit():
    assert bent(np.array([10.0], np.float32), 1_000.0)[0] == pytest.approx(10.0, rel=1e-3)
    assert abs(bent(np.array([-1e6], np.float32), 1_000.0)[0]) <= 1_000.0

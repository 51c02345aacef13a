"""The background's level and the floor that follows it."""

from __future__ import annotations

import numpy as np
import pytest

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.events import Word
from voice_needle.transcribe.noise import (
    add_floor,
    background_rms,
    floor_rms,
    loud_between,
    loud_frames,
    signal_to_noise_db,
)

RNG = np.random.default_rng(4)


def burst(noise_rms: float, speech_rms: float) -> Samples:
    """Two seconds of noise with a second of louder sound in their middle."""
    sound = RNG.normal(0.0, noise_rms, 2 * SAMPLE_RATE_HZ)
    sound[SAMPLE_RATE_HZ // 2 : 3 * SAMPLE_RATE_HZ // 2] += RNG.normal(0.0, speech_rms, SAMPLE_RATE_HZ)
    return sound.astype(np.int16)


@pytest.mark.parametrize("level", [20.0, 200.0, 1000.0])
def test_the_background_is_found_under_speech(level: float) -> None:
    assert background_rms(burst(level, 3000.0)) == pytest.approx(level, rel=0.15)


def test_the_ratio_follows_the_level() -> None:
    quiet, loud = signal_to_noise_db(burst(50.0, 2000.0)), signal_to_noise_db(burst(500.0, 2000.0))
    assert quiet - loud == pytest.approx(20.0, abs=1.5)
    assert signal_to_noise_db(np.zeros(SAMPLE_RATE_HZ, np.int16)) == 60.0
    assert signal_to_noise_db(np.zeros(0, np.int16)) == 60.0


def test_what_is_loud_is_measured_above_the_background() -> None:
    loud = loud_frames(burst(100.0, 3000.0))
    assert loud.shape == (200,) and loud[52:148].all() and not loud[:48].any() and not loud[152:].any()
    assert loud_frames(burst(3000.0, 0.0)).sum() == pytest.approx(200, abs=3)
    assert not loud_frames(np.zeros(SAMPLE_RATE_HZ, np.int16)).any()
    assert loud_frames(np.zeros(0, np.int16)).shape == (0,)


def test_loud_sound_between_words_is_measured() -> None:
    loud = np.zeros(200, np.bool_)
    loud[20:160] = True
    words = (Word("take", 200.0, 400.0), Word("that", 700.0, 900.0), Word("back", 1400.0, 1800.0))
    assert loud_between(words, loud) == 300.0 + 500.0
    assert loud_between(words[:1], loud) == loud_between(words, np.zeros(200, np.bool_)) == 0.0
    assert loud_between((Word("stop", 0.0, 2600.0),), loud) == 0.0  # a last word may end with the sound, or later


def test_the_floor_rises_with_the_background_only() -> None:
    assert floor_rms(np.zeros(SAMPLE_RATE_HZ, np.int16), 25.0, 0.4) == 25.0
    assert floor_rms(burst(500.0, 3000.0), 25.0, 0.4) == pytest.approx(np.hypot(25.0, 200.0), rel=0.15)
    assert floor_rms(burst(500.0, 3000.0), 25.0, 0.0) == 25.0


def test_noise_is_added_at_its_level_and_clipped() -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.int16)
    assert np.std(add_floor(silence, 100.0, np.random.default_rng(1))) == pytest.approx(100.0, rel=0.03)
    full = np.full(1000, 32767, np.int16)
    assert add_floor(full, 500.0, np.random.default_rng(1)).min() > 30_000

"""What a room adds is taken away, what the speaker said is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, as_samples
from voice_needle.evaluation.room import convolved, response
from voice_needle.transcribe.reverberation import SHORTEST, dereverberate

SYLLABLE = SAMPLE_RATE_HZ * 120 // 1000
STEP = SAMPLE_RATE_HZ // 5
LATE = SAMPLE_RATE_HZ * 40 // 1000  # after a sound: what is still heard then is the room


def syllables(seconds: float = 3.0, seed: int = 3) -> NDArray[np.float64]:
    """Bursts of noise of 120 ms with pauses of 80 ms, each with a colour of its own: nothing in it foretells the next."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * SAMPLE_RATE_HZ))
    for start in range(0, len(sound) - SYLLABLE, STEP):
        burst = np.convolve(rng.normal(size=SYLLABLE), rng.normal(size=8), mode="same")
        sound[start : start + SYLLABLE] = burst / np.std(burst) * np.hanning(SYLLABLE)
    return sound * 3000.0


def levels_db(sound: NDArray[np.floating]) -> tuple[float, float]:
    """Of the syllables, and of the ends of the pauses between them."""
    whole = sound[: len(sound) // STEP * STEP].astype(float).reshape(-1, STEP)
    loud, late = whole[:, :SYLLABLE], whole[:, SYLLABLE + LATE :]
    return float(10.0 * np.log10(np.mean(loud**2))), float(10.0 * np.log10(np.mean(late**2)))


@pytest.mark.parametrize("decay_s", [0.3, 0.5, 0.8])
def test_the_late_echo_of_a_room_is_taken_away(decay_s: float) -> None:
    said = syllables()
    heard = as_samples(convolved(said, response(decay_s, np.random.default_rng(7)))[: len(said)])
    (loud, late), (loud_after, late_after) = levels_db(heard), levels_db(dereverberate(heard))
    assert late_after < late - 4.0 and loud_after > loud - 1.0, (late, late_after, loud, loud_after)


def test_speech_in_a_dry_room_stays_as_it_is_bit_for_bit() -> None:
    dry = as_samples(syllables())
    assert np.array_equal(dereverberate(dry), dry)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(2 * SAMPLE_RATE_HZ, np.int16),
        np.zeros(0, np.int16),
        as_samples(syllables())[: SHORTEST - 1],
        np.full(SAMPLE_RATE_HZ, 32767, np.int16),
    ],
)
def test_silence_a_word_and_a_stuck_microphone_come_back_as_long_as_they_were(sound: Samples) -> None:
    drier = dereverberate(sound)
    assert drier.dtype == np.int16 and len(drier) == len(sound)


def test_loud_speech_is_clipped_and_not_wrapped() -> None:
    path = response(0.5, np.random.default_rng(7))
    heard = convolved(syllables() * 8.0, path)[: 3 * SAMPLE_RATE_HZ]
    full = as_samples(heard)
    assert np.corrcoef(dereverberate(full), full)[0, 1] > 0.8

"""The play queue gives back what was written, ducks, fades and flushes within one block, and never clicks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.audio import BLOCK_SAMPLES
from voice_needle.speak.queue import FADE_SAMPLES, PlayQueue


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(1, 900), st.none()), max_size=40))
def test_what_is_taken_is_what_was_accepted_in_order(script):
    queue, accepted, played, number = PlayQueue(1000), [], [], 0
    for step in script:
        if step is None:
            block, count = queue.take(BLOCK_SAMPLES)
            assert len(block) == BLOCK_SAMPLES and not block[count:].any()
            played += block[:count].tolist()
            continue
        samples = np.arange(number, number + step).astype(np.int16)
        done = queue.write(samples)
        assert done == min(step, 1000 - queue.waiting + done)
        accepted += samples[:done].tolist()
        number += done
    assert played == accepted[: len(played)]
    assert queue.waiting == len(accepted) - len(played)


def loud(count: int) -> np.ndarray:
    return np.full(count, 10_000, np.int16)


def largest_step(samples: np.ndarray) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())


def test_a_flush_is_silence_within_one_block_without_a_click():
    queue = PlayQueue(16_000)
    queue.write(loud(8_000))
    first, _ = queue.take(BLOCK_SAMPLES)
    queue.flush()
    assert queue.waiting == 0
    block, taken = queue.take(BLOCK_SAMPLES)
    assert taken == FADE_SAMPLES and not block[FADE_SAMPLES:].any()
    assert largest_step(np.concatenate([first, block])) < 200
    assert not queue.take(BLOCK_SAMPLES)[0].any()
    queue.write(loud(100))
    assert queue.take(BLOCK_SAMPLES)[1] == 100  # what comes after the flush is played


def test_ducking_reaches_its_level_within_one_block_as_a_ramp():
    queue = PlayQueue(16_000)
    queue.write(loud(8_000))
    queue.take(BLOCK_SAMPLES)
    queue.gain = 0.25
    ramp, _ = queue.take(BLOCK_SAMPLES)
    assert largest_step(ramp) < 50
    ducked, _ = queue.take(BLOCK_SAMPLES)
    assert (ducked == 2_500).all()
    queue.gain = 1.0
    queue.take(BLOCK_SAMPLES)
    assert (queue.take(BLOCK_SAMPLES)[0] == 10_000).all()


def test_a_pause_is_silent_within_a_block_and_loses_only_its_fade():
    queue = PlayQueue(16_000)
    queue.write(np.arange(1, 4001).astype(np.int16))
    queue.take(BLOCK_SAMPLES)
    queue.paused = True
    fading, taken = queue.take(BLOCK_SAMPLES)
    assert taken == FADE_SAMPLES and not fading[FADE_SAMPLES:].any()
    for _ in range(5):
        assert not queue.take(BLOCK_SAMPLES)[0].any()
    queue.paused = False
    resumed, taken = queue.take(BLOCK_SAMPLES)
    assert taken == BLOCK_SAMPLES
    assert resumed[-1] == 2 * BLOCK_SAMPLES + FADE_SAMPLES
    assert largest_step(resumed) < 50


def test_untouched_sound_passes_bit_for_bit():
    samples = np.random.default_rng(0).integers(-32768, 32767, 3200).astype(np.int16)
    queue = PlayQueue(3200)
    queue.write(samples)
    assert np.array_equal(np.concatenate([queue.take(BLOCK_SAMPLES)[0] for _ in range(10)]), samples)

"""Blocks of any size give the same sound as the whole at once; clipping and broken floats do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.listen.resample import Framer, Resampler, to_int16, to_mono


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=10), st.sampled_from([8_000, 44_100, 48_000]))
def test_block_borders_leave_no_trace(sizes, rate_hz):
    sound = (8000 * np.sin(np.arange(sum(sizes)) * 0.05)).astype(np.int16)
    whole = Resampler(rate_hz).feed(sound, last=True)
    resampler, at, parts = Resampler(rate_hz), 0, []
    for i, size in enumerate(sizes):
        parts.append(resampler.feed(sound[at : at + size], last=i == len(sizes) - 1))
        at += size
    pieces = np.concatenate(parts)
    assert len(pieces) == len(whole) == pytest.approx(len(sound) * 16_000 / rate_hz, abs=1)
    assert np.abs(pieces.astype(int) - whole).max() <= 1


@given(st.lists(st.integers(0, 700), max_size=12))
def test_frames_hold_every_sample_once(sizes):
    framer, sound, at, frames = Framer(), np.arange(sum(sizes)).astype(np.int16), 0, []
    for size in sizes:
        frames += framer.feed(sound[at : at + size])
        at += size
    frames += framer.feed(np.empty(0, np.int16), last=True)
    assert all(len(frame) == 160 for frame in frames)
    joined = np.concatenate(frames) if frames else np.empty(0, np.int16)
    assert np.array_equal(joined[: len(sound)], sound) and not joined[len(sound) :].any()


def test_too_loud_is_clipped_and_what_is_no_number_is_silence():
    sound = to_int16(np.array([2.0, -2.0, np.nan, np.inf, 0.5]))
    assert sound.tolist() == [32767, -32768, 0, 0, 16384]


def test_channels_are_averaged_or_picked():
    block = np.array([[100, 300], [-100, 100]], np.int16)
    assert to_int16(to_mono(block)).tolist() == [200, 0]
    assert Resampler(16_000, channel=1).feed(block).tolist() == [300, 100]
    with pytest.raises(ValueError, match="4000"):
        Resampler(4_000)

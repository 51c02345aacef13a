"""The simulated room: the same sound each time, at the level, moment and clock that were asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from voice_needle.audio import BLOCK_SAMPLES, Samples, to_samples
from voice_needle.clock import ScriptedClock
from voice_needle.evaluation.room import Acoustics, Room, active_rms, cough, door, music


def room(**acoustics: object) -> Room:
    return Room(ScriptedClock(datetime(2026, 1, 1, tzinfo=UTC)), Acoustics(**acoustics), voice_rms=2_000.0)  # type: ignore[arg-type]


def heard(place: Room, voice: Samples | None = None, blocks: int = 50) -> Samples:
    """What the microphone gives while `voice` is played."""
    frames = []
    for number in range(blocks):
        block = np.zeros(BLOCK_SAMPLES, np.int16)
        if voice is not None:
            part = voice[number * BLOCK_SAMPLES :][:BLOCK_SAMPLES]
            block[: len(part)] = part
        place.play(block)
        frames += [place.frame(), place.frame()]
    return np.concatenate(frames)


def noise(seconds: float, seed: int = 1) -> Samples:
    return np.asarray(np.random.default_rng(seed).normal(0, 2_000, round(seconds * 16_000)), np.int16)


def test_the_same_room_sounds_the_same_each_time():
    first, second = (heard(room(drift_ppm=50.0, clip=2.0), noise(1.0)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, heard(room(drift_ppm=50.0, clip=2.0, seed=1), noise(1.0)))


@pytest.mark.parametrize("delay_ms", [0.0, 10.0, 125.0, 300.0])
def test_a_click_arrives_after_its_delay_to_the_sample(delay_ms: float):
    click = np.zeros(BLOCK_SAMPLES, np.int16)
    click[0] = 20_000
    sound = heard(room(delay_ms=delay_ms, noise_dbfs=-120.0), click)
    assert int(np.argmax(np.abs(sound))) == to_samples(delay_ms)


@pytest.mark.parametrize("echo_db", [-6.0, 0.0, 6.0, 12.0])
def test_our_voice_is_as_loud_against_the_user_as_was_asked(echo_db: float):
    user = room(noise_dbfs=-120.0)
    user.say(noise(1.0, seed=2), at=0)
    ours = heard(room(echo_db=echo_db, noise_dbfs=-120.0, delay_ms=0.0), noise(1.0))
    difference = 20 * np.log10(active_rms(ours) / active_rms(heard(user)))
    assert difference == pytest.approx(echo_db, abs=1.0)


def test_a_drifting_clock_stretches_what_is_heard():
    tone = np.asarray(8_000 * np.sin(2 * np.pi * 1_000 * np.arange(16_000 * 4) / 16_000), np.int16)
    straight, drifting = (
        heard(room(drift_ppm=ppm, decay_s=0.01, noise_dbfs=-120.0), tone, 200) for ppm in (0.0, 1_000.0)
    )
    crossings = [np.count_nonzero(np.diff(np.signbit(sound[16_000:48_000]))) for sound in (straight, drifting)]
    assert crossings[0] - crossings[1] == pytest.approx(4_000 * 1e-3, abs=2)


def test_no_echo_is_no_echo():
    assert np.max(np.abs(heard(room(echo_db=None, noise_dbfs=-120.0), noise(1.0)))) <= 1


def test_soft_clipping_adds_what_a_linear_path_cannot():
    tone = np.asarray(6_000 * np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000), np.int16)

    def third(clip: float) -> float:
        sound = heard(room(clip=clip, noise_dbfs=-120.0), tone)[4_000:12_000]
        power = np.abs(np.fft.rfft(sound * np.hanning(8_000))) ** 2
        return float(10 * np.log10(power[745:756].sum() / power[245:256].sum()))

    assert third(0.0) < -50.0 < -25.0 < third(3.0)


def test_noises_are_short_loud_and_not_the_same():
    for sound in (cough(), door(), music(1.0)):
        assert np.max(np.abs(sound)) == 16_000
    assert len(door()) < 16_000 and len(music(2.0)) == 32_000
    assert not np.array_equal(cough(1), cough(2))

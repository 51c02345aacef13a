"""The detectors hear speech and leave silence and hum alone; the energy gate spares them what is quiet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voice_needle.audio import FRAME_SAMPLES, Samples
from voice_needle.errors import ConfigError
from voice_needle.listen.engine import Vad
from voice_needle.listen.vad import EnergyGate, SileroVad, WebRtcVad, make_vad


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """About 2 s of a synthetic voice at 16 kHz."""
    path = tmp_path_factory.mktemp("speech") / "a.wav"
    subprocess.run(
        ["flite", "-voice", "slt", "-t", "turn on the light in the kitchen please", "-o", str(path)], check=True
    )
    samples, rate_hz = soundfile.read(path, dtype="int16")
    result: Samples = samples if rate_hz == 16_000 else soxr.resample(samples, rate_hz, 16_000)
    return result


def frames(samples: Samples) -> list[Samples]:
    return [samples[i : i + FRAME_SAMPLES] for i in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


def heard(vad: Vad, samples: Samples) -> float:
    return float(np.mean([vad.speech_probability(frame) >= 0.5 for frame in frames(samples)]))


@pytest.fixture(params=["webrtc", "silero"])
def vad(request: pytest.FixtureRequest) -> Vad:
    return make_vad(request.param)


def test_speech_is_heard_and_silence_is_not(vad: Vad, speech: Samples):
    quiet = np.random.default_rng(0).normal(0, 10, 32_000).astype(np.int16)
    assert heard(vad, quiet) == 0.0
    assert heard(vad, speech) > 0.6
    vad.reset()
    assert heard(vad, quiet) < 0.05


def test_hum_and_steady_noise_are_not_speech(vad: Vad):
    at = np.arange(128_000) / 16_000
    hum = (3000 * np.sin(2 * np.pi * 100 * at)).astype(np.int16)
    heard(vad, hum[:48_000])  # while the gate learns the room
    assert heard(vad, hum[48_000:]) < 0.05


def test_the_detector_is_spared_what_is_quiet(speech: Samples):
    gate = EnergyGate()
    assert not any(gate.passes(frame) for frame in frames(np.zeros(16_000, np.int16)))
    assert np.mean([gate.passes(frame) for frame in frames(speech)]) > 0.7


def test_steady_noise_closes_the_gate_and_speech_over_it_opens_it(speech: Samples):
    noise = np.random.default_rng(1).normal(0, 300, 96_000)
    gate = EnergyGate(margin_db=6.0)
    passed = [gate.passes(frame) for frame in frames(noise.astype(np.int16))]
    assert np.mean(passed[200:]) < 0.1
    over = (noise[: len(speech)] + speech).astype(np.int16)
    assert np.mean([gate.passes(frame) for frame in frames(over)]) > 0.7


def test_silero_does_not_change_what_it_is_given(speech: Samples):
    vad, copy = SileroVad(), speech.copy()
    for frame in frames(speech):
        vad.speech_probability(frame)
    assert np.array_equal(speech, copy)


def test_silero_gives_the_same_again_after_a_reset(speech: Samples):
    vad = SileroVad()
    first = [vad.speech_probability(frame) for frame in frames(speech)]
    vad.reset()
    assert [vad.speech_probability(frame) for frame in frames(speech)] == first
    assert max(first) > 0.9


def test_unknown_names_and_modes_are_refused():
    with pytest.raises(ConfigError, match="webrtc and silero"):
        make_vad("loudness")
    with pytest.raises(ConfigError, match="mode 4"):
        WebRtcVad(mode=4)


def test_smoothing_needs_more_than_one_frame(speech: Samples, tmp_path: Path):
    loud = max(frames(speech), key=lambda frame: int(np.abs(frame).max()))
    vad = WebRtcVad(smoothing_ms=50)
    assert vad.speech_probability(loud) <= 0.2

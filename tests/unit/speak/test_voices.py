"""The real voices: espeak-ng and flite as processes, Piper on a tiny network of the right shape."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import aclosing
from pathlib import Path

import numpy as np
import psutil
import pytest

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import ConfigError, EngineFailed, EngineMissing, ModelCorrupt, ModelMissing
from voice_needle.speak import get_voice
from voice_needle.speak.earcons import TONES, earcon
from voice_needle.speak.engine import Voice
from voice_needle.speak.espeak import Espeak, Flite
from voice_needle.speak.piper import Piper, find_voice, installed_voices

SAMPLES_A_PHONEME = 1000
SENTENCE = "The kitchen light is on."


def make_model(folder: Path, name: str = "en_GB-test-low", rate_hz: int = 16_000) -> Path:
    """A network with Piper's inputs and output that beeps once for each phoneme id, at a pitch of its own."""
    pytest.importorskip("piper", reason="pip install 'voice-needle[piper]'")
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    pitches = (np.arange(256, dtype=np.float32) + 5) * 2 * np.pi * 10 / rate_hz
    tables = [
        helper.make_tensor("pitches", TensorProto.FLOAT, [256], pitches),
        helper.make_tensor(
            "ramp", TensorProto.FLOAT, [1, 1, SAMPLES_A_PHONEME], np.arange(SAMPLES_A_PHONEME, dtype=np.float32)
        ),
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
        helper.make_tensor("shape", TensorProto.INT64, [4], [1, 1, 1, -1]),
    ]
    nodes = [
        helper.make_node("Gather", ["pitches", "input"], ["pitch"]),
        helper.make_node("Unsqueeze", ["pitch", "last"], ["column"]),
        helper.make_node("Mul", ["column", "ramp"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["wave"]),
        helper.make_node("Reshape", ["wave", "shape"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "samples"])
    graph = helper.make_graph(nodes, "beeps", inputs, [output], tables)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")
    symbols = ["_", "^", "$", *" abcdefghijklmnopqrstuvwxyz.,!?'"]
    config = {
        "audio": {"sample_rate": rate_hz, "quality": "low"},
        "espeak": {"voice": "en-gb"},
        "phoneme_type": "text",
        "num_symbols": 256,
        "num_speakers": 1,
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": {symbol: [i] for i, symbol in enumerate(symbols)},
    }
    (folder / f"{name}.onnx.json").write_text(json.dumps(config))
    return folder / f"{name}.onnx"


async def sound_of(voice: Voice, sentence: str) -> Samples:
    async with aclosing(voice.synthesise(sentence)) as pieces:
        return np.concatenate([piece async for piece in pieces])


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize("voice", [Espeak(), Flite()], ids=["espeak", "flite"])
async def test_a_sentence_becomes_speech_and_no_process_is_left(voice: Voice):
    before = children()
    await voice.start()
    for _ in range(2):  # the second comes from the process that was kept ready
        sound = await sound_of(voice, SENTENCE)
        assert sound.dtype == np.int16
        assert 0.8 < len(sound) / SAMPLE_RATE_HZ < 3.0
        assert 3000 < np.abs(sound.astype(int)).max() <= 32768
    assert not [piece async for piece in voice.synthesise("  ")]
    await voice.close()
    assert children() == before


@pytest.mark.parametrize("voice", [Espeak(), Flite()], ids=["espeak", "flite"])
async def test_closing_the_generator_kills_the_process(voice: Voice):
    before = children()
    await voice.start()
    async with aclosing(voice.synthesise(SENTENCE * 40)) as pieces:
        async for piece in pieces:
            assert len(piece)
            break
    await voice.close()
    assert children() == before


async def test_text_that_looks_like_an_option_is_spoken():
    for voice in (Espeak(), Flite()):
        await voice.start()
        assert len(await sound_of(voice, "--help -v")) > 8000
        await voice.close()


async def test_an_espeak_that_died_in_waiting_is_replaced():
    voice = Espeak()
    await voice.start()
    for pid in children():
        if psutil.Process(pid).name().startswith("espeak"):
            os.kill(pid, signal.SIGKILL)
            psutil.Process().children()
    await asyncio.sleep(0.05)
    assert len(await sound_of(voice, SENTENCE)) > 8000
    await voice.close()


async def test_what_is_not_installed_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    for voice, package in ((Espeak(), "espeak-ng"), (Flite(), "flite")):
        with pytest.raises(EngineMissing) as caught:
            await voice.start()
        assert caught.value.fix == f"sudo apt install {package}"
    with pytest.raises(EngineMissing):
        get_voice("auto", models_dir=Path("/nonexistent"))


async def test_a_voice_that_espeak_does_not_know_fails_rather_than_being_silent():
    voice = Espeak(voice="klingon-x")
    await voice.start()
    with pytest.raises(EngineFailed):
        await sound_of(voice, SENTENCE)
    await voice.close()


async def test_piper_speaks_each_phoneme_and_the_process_stays(tmp_path: Path):
    before = children()
    voice = Piper(make_model(tmp_path))
    await voice.start()
    workers = children() - before
    sound = await sound_of(voice, "abc")
    phonemes = 1 + 1 + 2 * 3 + 1  # ^ _ a _ b _ c _ $, as Piper pads them
    assert len(sound) == phonemes * SAMPLES_A_PHONEME
    assert len(await sound_of(voice, "abcabc")) > len(sound)
    assert len(workers) == 1 and children() - before == workers and voice.restarts == 0
    await voice.close()
    assert not children() & workers


async def test_piper_at_another_rate_is_resampled(tmp_path: Path):
    voice = Piper(make_model(tmp_path, rate_hz=22_050))
    await voice.start()
    expected = 9 * SAMPLES_A_PHONEME * SAMPLE_RATE_HZ / 22_050
    assert len(await sound_of(voice, "abc")) == pytest.approx(expected, abs=2)
    await voice.close()


async def test_a_stopped_piper_sentence_does_not_leak_into_the_next(tmp_path: Path):
    voice = Piper(make_model(tmp_path))
    await voice.start()
    async with aclosing(voice.synthesise("a" * 60)) as pieces:
        async for _ in pieces:
            break
    assert len(await sound_of(voice, "abc")) == 9 * SAMPLES_A_PHONEME
    await voice.close()


async def test_piper_killed_in_the_middle_fails_once_and_is_started_again(tmp_path: Path):
    voice = Piper(make_model(tmp_path))
    before = children()
    await voice.start()
    (worker,) = children() - before
    os.kill(worker, signal.SIGSTOP)
    task = asyncio.create_task(sound_of(voice, "abc"))
    await asyncio.sleep(0)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        await task
    assert len(await sound_of(voice, "abc")) == 9 * SAMPLES_A_PHONEME
    assert voice.restarts == 1
    await voice.close()


async def test_a_piper_that_hangs_after_a_stop_is_killed_and_replaced(tmp_path: Path):
    voice = Piper(make_model(tmp_path), cancel_grace_ms=50)
    before = children()
    await voice.start()
    (worker,) = children() - before
    async with aclosing(voice.synthesise("a" * 60)) as pieces:
        async for _ in pieces:
            os.kill(worker, signal.SIGSTOP)
            break
    assert len(await sound_of(voice, "abc")) == 9 * SAMPLES_A_PHONEME
    assert worker not in children()
    await voice.close()


async def test_missing_and_damaged_piper_voices_say_so(tmp_path: Path):
    with pytest.raises(ModelMissing) as caught:
        get_voice("piper", models_dir=tmp_path)
    assert caught.value.fix == "voice-needle models pull piper-en_US-lessac-low"
    model = make_model(tmp_path)
    with pytest.raises(ModelMissing, match="ryan"):
        find_voice(tmp_path, "ryan")
    model.write_bytes(b"no network")
    with pytest.raises(ModelCorrupt):
        await Piper(model).start()


def test_auto_takes_piper_where_a_voice_is_installed(tmp_path: Path):
    assert get_voice("auto", models_dir=tmp_path).name == "espeak"
    folder = tmp_path / "piper-test"
    folder.mkdir()
    model = make_model(folder)
    assert installed_voices(tmp_path) == [model]
    assert get_voice("auto", models_dir=tmp_path).name == "piper"
    assert get_voice("flite", models_dir=tmp_path).name == "flite"
    with pytest.raises(ConfigError, match="auto, piper, espeak, flite"):
        get_voice("festival")


@pytest.mark.parametrize("name", list(TONES))
def test_tones_are_short_begin_and_end_softly_and_are_not_too_loud(name: str):
    tone = earcon(name, level_dbfs=-20.0)
    assert 0.05 < len(tone) / SAMPLE_RATE_HZ < 0.7
    assert abs(int(tone[0])) < 50 and abs(int(tone[-1])) < 50
    assert np.abs(tone.astype(int)).max() == pytest.approx(3277, rel=0.05)
    assert np.abs(np.diff(tone.astype(int))).max() < 2000


def test_tones_are_told_apart():
    lengths = {name: earcon(name).tobytes() for name in TONES}
    assert len(set(lengths.values())) == len(TONES)


@pytest.mark.parametrize("voice", [Espeak(), Flite()], ids=["espeak", "flite"])
async def test_a_long_sentence_is_stopped_even_when_nobody_reads_on(voice: Espeak | Flite):
    await voice.start()
    pieces = voice.synthesise(" ".join(["turn on the kitchen light and then the other one"] * 200))
    async with asyncio.timeout(20):
        await anext(pieces)
        await asyncio.sleep(1.0)  # it goes on making sound until every buffer on the way is full
        await pieces.aclose()
        await voice.close()

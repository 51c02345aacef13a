"""From `voice-needle tools new` to a working spoken command, by the steps of the README and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import soundfile

from tests.audio.voices import speak
from tests.flows.command import Home
from voice_needle.audio import SAMPLE_RATE_HZ


def test_the_readme_s_steps_make_a_spoken_command(tmp_path):
    home = Home(tmp_path)
    made = home.run("tools", "new", "kitchen_shelf")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "config" / "voice-needle" / "tools" / "kitchen_shelf"
    config = home.config("dispatch: {plugins: [kitchen_shelf]}\n")

    checked = home.run("tools", "check", "--config", config)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 tools, 0 mistakes, 0 pieces of advice" in checked.stdout

    tried = home.run("tools", "try", "tell kitchen shelf about the guests twelve", "--config", config)
    assert "kitchen_shelf_note" in tried.stdout
    assert 'amount = 12  from "twelve"' in tried.stdout

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(folder), "--rootdir", str(folder), "-c", "/dev/null"],
        env=home.environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "2 passed" in tested.stdout, tested.stdout

    quiet = np.zeros(SAMPLE_RATE_HZ // 2, np.int16)
    sound = np.concatenate([quiet, speak("what does kitchen shelf say about the guests"), quiet])
    soundfile.write(tmp_path / "ask.wav", sound, SAMPLE_RATE_HZ)
    done = home.run("run", "--config", config, "--input", tmp_path / "ask.wav", "--json")
    line = json.loads(done.stdout)
    assert [call["tool"] for call in line["decision"]["calls"]] == ["kitchen_shelf_ask"]
    assert line["said"] == "I have nothing about guests."


def test_what_cannot_be_made_is_said_so(tmp_path):
    home = Home(tmp_path)
    assert home.run("tools", "new", "Kitchen-Shelf").returncode == 2
    assert home.run("tools", "new", "shelf").returncode == 0
    again = home.run("tools", "new", "shelf")
    assert again.returncode == 2
    assert "not empty" in again.stderr

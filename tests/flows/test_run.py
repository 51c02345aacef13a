"""voice-needle run, from a sound file to a real effect and a spoken answer, as a user types it; and every way to get it wrong."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio.voices import speak
from tests.flows.command import Home, told
from voice_needle.audio import SAMPLE_RATE_HZ

REQUEST = "set a timer for ten minutes"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def request_wav(home: Home) -> Path:
    quiet = np.zeros(SAMPLE_RATE_HZ // 2, np.int16)
    file = home.folder / "request.wav"
    soundfile.write(file, np.concatenate([quiet, speak(REQUEST), quiet]), SAMPLE_RATE_HZ, subtype="PCM_16")
    return file


def timers(home: Home) -> list[float]:
    """Seconds from being set to being due, of every timer on disk."""
    with sqlite3.connect(home.folder / "data" / "voice-needle" / "timers.db") as db:
        rows = db.execute("select due, set_at from timers where ended is null").fetchall()
    return [due - datetime.fromisoformat(set_at).timestamp() for due, set_at in rows]


def one_turn(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_spoken_request_has_its_effect_and_its_answer_is_heard(home: Home, request_wav: Path):
    output = home.folder / "answer.wav"
    done = home.run("run", "--plugin", "desk", "--input", request_wav, "--output", output, "--json")
    line = one_turn(done)
    assert line["transcript"]["text"] == REQUEST  # type: ignore[index]
    assert [call["tool"] for call in line["decision"]["calls"]] == ["timer_set"]  # type: ignore[index]
    assert [result["status"] for result in line["results"]] == ["ok"]  # type: ignore[union-attr]
    assert "10 minutes" in str(line["said"])
    assert set(line["ms"]) >= {"speech", "endpoint", "transcribe", "route", "act", "voice", "response"}  # type: ignore[arg-type]
    assert [round(each, -1) for each in timers(home)] == [600]
    request, answer = soundfile.read(request_wav)[0], soundfile.read(output)[0]
    before, after = answer[: len(request) // 2], answer[len(request) // 2 :]
    assert np.abs(before).max() == 0.0  # silent while the user speaks, on the same time line
    assert np.abs(after).max() > 0.05


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "ending"),
    [(8_000, 1, "PCM_16", "wav"), (48_000, 2, "PCM_24", "wav"), (44_100, 2, "FLOAT", "wav"), (22_050, 1, "PCM_16", "flac")],
)
def test_any_wav_or_flac_is_read(home: Home, rate: int, channels: int, subtype: str, ending: str):
    import soxr

    quiet = np.zeros(rate // 2, np.float32)
    voice = soxr.resample(speak("what time is it").astype(np.float32) / 32768, SAMPLE_RATE_HZ, rate)
    mono = np.concatenate([quiet, voice, quiet])
    file = home.folder / f"time_{rate}.{ending}"
    soundfile.write(file, np.stack([mono] * channels, axis=1), rate, subtype=subtype)
    line = one_turn(home.run("run", "--plugin", "desk", "--input", file, "--json"))
    assert [call["tool"] for call in line["decision"]["calls"]] == ["time_now"]  # type: ignore[index]
    assert line["said"]


def test_raw_sound_comes_in_on_standard_input(home: Home, request_wav: Path):
    raw = soundfile.read(request_wav, dtype="int16")[0].tobytes()
    done = subprocess.run(
        home.command("run", "--plugin", "desk", "--input", "-", "--output", home.folder / "raw.wav", "--json"),
        input=raw, env=home.environment, capture_output=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert REQUEST in done.stdout.decode()


def test_silence_is_no_turn(home: Home):
    file = home.folder / "silence.wav"
    soundfile.write(file, np.zeros(3 * SAMPLE_RATE_HZ, np.int16), SAMPLE_RATE_HZ)
    done = home.run("run", "--plugin", "desk", "--input", file, "--json")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_truth_is_said_when_the_broker_is_down(home: Home):
    file = home.folder / "light.wav"
    quiet = np.zeros(SAMPLE_RATE_HZ // 2, np.int16)
    soundfile.write(file, np.concatenate([quiet, speak("turn on the kitchen light"), quiet]), SAMPLE_RATE_HZ)
    config = home.config('plugins: {home: {broker: "mqtt://127.0.0.1:9"}}\n')
    line = one_turn(home.run("run", "--config", config, "--plugin", "home", "--input", file, "--json"))
    assert [result["status"] for result in line["results"]] == ["unreachable"]  # type: ignore[union-attr]
    assert not re.search(r"\bis on\b", str(line["said"]))


def garbage(folder: Path, name: str) -> Path:
    """A file that is no sound, in one of the ways in which files are no sound."""
    file = folder / f"{name}.wav"
    whole = folder / "whole.wav"
    soundfile.write(whole, np.zeros(16_000, np.int16), 16_000)
    content = {"empty": b"", "text": b"this is not audio\n" * 40, "truncated": whole.read_bytes()[:9_000]}
    file.write_bytes(content[name])
    return file


@pytest.mark.parametrize("name", ["empty", "text", "truncated"])
def test_a_bad_sound_file_is_one_sentence_and_a_fix(home: Home, name: str):
    done = home.run("run", "--plugin", "desk", "--input", garbage(home.folder, name))
    assert done.returncode == 2
    assert f"{name}.wav" in told(done)[-2]
    assert told(done)[-1].startswith("Fix: ")


WRONG = {
    "no such file": (["run", "--input", "nowhere.wav"], "", r"nowhere\.wav"),
    "no such plugin": (["run", "--plugin", "hme", "--input", "x.wav"], "", r"no plugin `hme`; did you mean `home`"),
    "no such profile": (["run", "--profile", "pi6", "--input", "x.wav"], "", r"no device profile `pi6`"),
    "typo": (["run", "--input", "x.wav"], "listen: {vd: silero}\n", r"config\.yaml:1: there is no setting `listen\.vd`"),
    "type": (["run", "--input", "x.wav"], "listen:\n  end_silence_ms: soon\n", r"config\.yaml:2: .*whole number"),
    "no model": (["transcribe", "x.wav"], "transcribe: {engine: whisper}\n", r"(?i)whisper"),
    "no router": (["route", "hello", "--router", "stich"], "", r"router"),
    "bad tools": (["route", "hello", "--tools", "tools.json"], "", r"tools\.json"),
    "no tool": (["call", "timer_sett"], "", r"no tool called timer_sett; the nearest is timer_set"),
    "output": (["run", "--input", "ok.wav", "--output", "/nowhere/at/all.wav"], "", r"/nowhere/at/all\.wav"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_sentence_a_fix_and_exit_code_2(home: Home, case: str):
    arguments, config, pattern = WRONG[case]
    work = home.folder
    (work / "tools.json").write_text('{"name": ')
    soundfile.write(work / "ok.wav", np.zeros(1600, np.int16), SAMPLE_RATE_HZ)
    more = ["--config", str(home.config(config))] if config else []
    done = home.run(*arguments, *more, cwd=work, environment={"PYTHONPATH": str(Path.cwd())})
    assert done.returncode == 2, done.stderr
    assert re.search(pattern, "\n".join(told(done)))
    assert any(line.startswith("Fix: ") for line in told(done))


def test_a_microphone_that_is_not_there_is_said_so(home: Home):
    config = home.config('listen: {device: "gramophone"}\n')
    done = home.run("run", "--config", config, "--plugin", "desk", environment={"PULSE_SERVER": "unix:/nowhere"})
    assert done.returncode == 2
    assert re.search(r"microphone|gramophone", "\n".join(told(done)))
    assert told(done)[-1].startswith("Fix: ")


def test_a_manifest_mistake_is_reported_with_its_line_and_stops_nothing_else(home: Home, request_wav: Path):
    broken = home.folder / "config" / "voice-needle" / "tools" / "broken"
    broken.mkdir(parents=True)
    (broken / "plugin.yaml").write_text("plugin: broken\ndescription: x\ntols: {}\n")
    config = home.config("dispatch: {plugins: [desk, broken]}\n")
    done = home.run("tools", "check", "--config", config)
    assert done.returncode == 2
    assert re.search(r"broken/plugin\.yaml:3: .*tols.*tools", done.stdout + done.stderr)
    line = one_turn(home.run("run", "--config", config, "--input", request_wav, "--json"))
    assert line["said"]


def test_control_c_ends_it_at_once_without_a_traceback(home: Home):
    file = home.folder / "long.wav"
    soundfile.write(file, np.zeros(60 * SAMPLE_RATE_HZ, np.int16), SAMPLE_RATE_HZ)
    process = subprocess.Popen(
        home.command("run", "--plugin", "desk", "--input", file, "--realtime", "--output", home.folder / "long_out.wav"),
        env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (home.folder / "long_out.wav").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_the_demo_has_the_three_effects_that_it_speaks_of(home: Home):
    """Real time, flite's voices: the requests take half a minute to say and to answer."""
    done = home.run("demo", "--out", home.folder / "demo", seconds=180)
    assert done.returncode == 0, done.stderr
    effects = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("after: ")]
    assert effects == [
        "after:  the kitchen light's state topic says ON",
        "after:  the database row of hex bolts in A14 holds 635",
        "after:  the driver's climate is at 23 degrees; frames on the bus: ClimateCommand",
    ], done.stdout
    for name in ("requests.wav", "answers.wav", "trace.jsonl", "demo.png"):
        assert (home.folder / "demo" / name).stat().st_size > 0


def test_the_command_line_explains_itself(home: Home):
    done = home.run("--help")
    assert done.returncode == 0
    for command in ("run", "demo", "doctor", "eval", "tools"):
        assert command in done.stdout
    wrong = home.run("rum")
    assert wrong.returncode == 2
    assert "did you mean `run`" in wrong.stderr

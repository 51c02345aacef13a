"""The doctor sees each fault that is put before it, says what to type, and calls nothing ill that is well."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from voice_needle import config as configuration
from voice_needle.audio import to_samples
from voice_needle.cli.doctor import doctor as command
from voice_needle.clock import ScriptedClock
from voice_needle.config import Dispatch
from voice_needle.dispatch.ledger import Ledger
from voice_needle.doctor import CHECKS, FAIL, OK, WARN, Check, Finding, Patient, examine, spoken
from voice_needle.doctor_sound import checks, echo_findings, room_finding
from voice_needle.errors import NoMicrophone
from voice_needle.listen.echo_test import chirp
from voice_needle.sound_devices import SoundDevice


def absent(words: list[str]) -> str:
    raise FileNotFoundError(words[0])


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A healthy board: cool, with a clock chip, memory free."""
    config = replace(configuration.load(None, "pi5"), data_dir=tmp_path / "data")
    root = tmp_path / "root"
    for path, text in {
        "sys/class/rtc/rtc0/name": "ds3231",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable:    3000000 kB\n",
    }.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    return Patient(config, root, ScriptedClock(datetime(2026, 11, 21, 9, 0, tzinfo=UTC)), absent)


def only(patient: Patient, name: str) -> list[Finding]:
    return list(CHECKS[name](patient))


def one(patient: Patient, name: str) -> Finding:
    (found,) = only(patient, name)
    return found


def write(patient: Patient, path: str, text: str) -> None:
    file = patient.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("name", ["clock", "storage", "memory", "temperature", "models", "plugins"])
def test_a_healthy_board_is_well(patient: Patient, name: str):
    assert [(each.state, each.fix) for each in only(patient, name)] == [(OK, "")] * len(only(patient, name))


@pytest.mark.parametrize(("milli", "state"), [(74_900, OK), (75_100, WARN), (83_000, FAIL)])
def test_heat(patient: Patient, milli: int, state: str):
    write(patient, "sys/class/thermal/thermal_zone0/temp", str(milli))
    write(patient, "sys/class/thermal/thermal_zone1/temp", "20000")
    assert one(patient, "temperature").state == state


@pytest.mark.parametrize(
    ("bits", "state", "words"),
    [("0x0", OK, "steady"), ("0x50005", FAIL, "voltage is too low"), ("0x50000", WARN, "since it was switched on"), ("4", FAIL, "slowed down")],
)
def test_throttling_from_the_firmware_or_its_tool(patient: Patient, bits: str, state: str, words: str):
    patient.run = lambda words: f"throttled={bits}\n" if words[0] == "vcgencmd" else absent(words)
    found = only(patient, "temperature")[1]
    assert found.state == state and words in found.what
    patient.run = absent
    write(patient, "sys/devices/platform/soc/soc:firmware/get_throttled", bits)
    assert only(patient, "temperature")[1] == found


def test_a_clock_that_cannot_be_right_and_one_that_will_be_lost(patient: Patient):
    (patient.root / "sys/class/rtc/rtc0/name").unlink()
    (patient.root / "sys/class/rtc/rtc0").rmdir()
    assert one(patient, "clock").state == WARN
    write(patient, "run/systemd/timesync/synchronized", "")
    assert one(patient, "clock").state == OK
    patient.clock = ScriptedClock(datetime(1970, 1, 1, tzinfo=UTC))
    found = one(patient, "clock")
    assert found.state == FAIL and "date -s" in found.fix


async def test_the_ledger_is_read_and_a_damaged_one_is_seen(patient: Patient):
    file = patient.config.data_dir / "ledger.db"
    ledger = Ledger.open(file)
    assert [each.state for each in only(patient, "storage")] == [OK, OK]
    del ledger
    file.write_bytes(b"SQLite format 3\0" + os.urandom(9000))
    for extra in ("-wal", "-shm"):
        file.with_name(file.name + extra).unlink(missing_ok=True)
    assert only(patient, "storage")[1].state == FAIL


def test_a_locked_ledger_and_a_folder_that_cannot_be_written(patient: Patient):
    file = patient.config.data_dir
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a file where the folder should be")
    found = one(patient, "storage")
    assert found.state == FAIL and "cannot be written" in found.what
    file.unlink()
    file.mkdir()
    with sqlite3.connect(file / "ledger.db") as db:
        db.execute("create table other (x)")
    assert only(patient, "storage")[1].state == FAIL  # not a ledger


def test_a_choice_over_the_budget_and_a_full_memory(patient: Patient):
    write(patient, "proc/meminfo", "MemTotal: 500000 kB\nMemAvailable:    90000 kB\n")
    assert one(patient, "memory").state == WARN
    small = replace(patient.config, budget=replace(patient.config.budget, memory_mb=100))
    found = [each for each in examine(replace(patient, config=small)) if each.check == "memory"]
    assert found[0].state == FAIL and "100 MB" in found[0].what and found[0].fix


def home(patient: Patient, **settings: str) -> Patient:
    return replace(patient, config=replace(patient.config, dispatch=Dispatch(plugins=["home"]), plugins={"home": settings}))


def test_the_broker_that_was_configured_must_answer(patient: Patient):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert one(home(patient, broker=f"mqtt://127.0.0.1:{port}"), "broker").state == OK
    found = one(home(patient, broker=f"mqtt://127.0.0.1:{port}"), "broker")
    assert found.state == FAIL and f"127.0.0.1:{port}" in found.what and "mosquitto" in found.fix
    assert one(home(patient, home_assistant=f"http://127.0.0.1:{port}"), "broker").state == FAIL
    assert not only(replace(patient, config=replace(patient.config, dispatch=Dispatch(plugins=["desk"]))), "broker")


def test_a_broken_plugin_and_an_unknown_one_are_named(patient: Patient, tmp_path: Path):
    folder = tmp_path / "tools" / "broken"
    folder.mkdir(parents=True)
    (folder / "plugin.yaml").write_text("plugin: broken\ntols: []\n")
    config = replace(patient.config, dispatch=Dispatch(plugins=["broken", "dsk"], tools_dir=tmp_path / "tools"))
    found = [each for each in only(replace(patient, config=config), "plugins") if each.state == FAIL]
    assert any("plugin.yaml:2" in each.what for each in found)
    assert any("desk" in each.what for each in found)
    assert all(each.fix == "voice-needle tools check" for each in found)


def test_a_damaged_model_is_found(patient: Patient):
    folder = patient.config.data_dir / "models" / "whisper-tiny.en"
    folder.mkdir(parents=True)
    (folder / "SHA256SUMS").write_text("0" * 64 + "  model.bin\n")
    (folder / "model.bin").write_bytes(b"x")
    found = one(patient, "models")
    assert found.state == FAIL and found.fix == "voice-needle models pull whisper-tiny.en"


def test_an_update_that_did_not_start_is_told(patient: Patient):
    boot = patient.root / "boot/firmware"
    boot.mkdir(parents=True)
    assert only(patient, "update") == []
    (boot / "tried.txt").write_text("b 2026-12.vnu\n")
    assert only(patient, "update")[0].state == OK
    (boot / "tried.txt").rename(boot / "failed.txt")
    found = only(patient, "update")[0]
    assert found.state == WARN and "2026-12.vnu did not start" in found.what and "failed.txt" in found.fix


def test_a_check_that_breaks_is_a_finding_and_errors_bring_their_fix(patient: Patient, monkeypatch: pytest.MonkeyPatch):
    def breaks(patient: Patient) -> Any:
        raise ZeroDivisionError("oh")

    def unplugged(patient: Patient) -> Any:
        raise NoMicrophone("there is no sound input device")

    checks: dict[str, Check] = {"a": breaks, "b": unplugged}
    for name in list(CHECKS):
        monkeypatch.delitem(CHECKS, name)
    a, b = examine(patient, checks)
    assert a.state == FAIL and "ZeroDivisionError" in a.what
    assert b.state == FAIL and b.fix == NoMicrophone.fix


def test_the_summary_for_the_ear():
    assert spoken([Finding("clock", OK, "")]) == "I am well. Everything that I need is there."
    text = spoken([Finding("clock", WARN, ""), Finding("microphone", FAIL, ""), Finding("speaker", FAIL, "")])
    assert text == "I found 2 problems: microphone, speaker, and 1 warning: clock."


def test_without_a_microphone_nothing_is_played_and_that_is_said(patient: Patient, monkeypatch: pytest.MonkeyPatch):
    def find(name: object, direction: str) -> SoundDevice:
        if direction == "input":
            raise NoMicrophone("there is no sound input device")
        return SoundDevice(0, "speaker", 0, 2, 48_000, True)

    monkeypatch.setattr("voice_needle.sound_devices.find_device", find)
    (found,) = checks()["sound"](patient)
    assert (found.state, found.fix) == (WARN, NoMicrophone.fix) and "without the microphone" in found.what


def test_the_level_of_the_room():
    rng = np.random.default_rng(1)
    room = lambda level: rng.normal(0, level, 16_000).clip(-32768, 32767).astype(np.int16)  # noqa: E731
    assert [room_finding(room(level)).state for level in (0.0, 20.0, 2000.0, 40_000.0)] == [FAIL, OK, WARN, FAIL]


def test_the_echo_is_measured_from_the_tone():
    quiet = np.random.default_rng(2).normal(0, 3, to_samples(1500)).astype(np.int16)
    heard = np.random.default_rng(3).normal(0, 3, to_samples(1800)).astype(np.int16)
    silent = list(echo_findings(heard, quiet))
    assert silent[0].state == WARN and "did not hear" in silent[0].what
    late = to_samples(120.0)
    heard[late : late + len(chirp())] += (chirp() * 0.3).astype(np.int16)
    tone, mode = echo_findings(heard, quiet)
    assert tone.state == OK
    assert "120 ms late" in mode.what or "119 ms late" in mode.what


def test_the_command_exits_with_1_when_something_fails_and_speaks_json(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nplugins: {{home: {{broker: 'mqtt://127.0.0.1:9'}}}}\n")
    done = CliRunner().invoke(command, ["--config", str(config), "--json"])
    report = json.loads(done.stdout)
    states = {each["check"]: each["state"] for each in report["findings"]}
    assert states["broker"] == FAIL and states["configuration"] == OK
    assert done.exit_code == 1 and report["ok"] is False
    config.write_text("listn: {}\n")
    done = CliRunner().invoke(command, ["--config", str(config)])
    assert done.exit_code == 1 and "did you mean `listen`" in done.output and f"Fix: edit {config}, line 1" in done.output


def test_a_vcgencmd_that_hangs_is_left_behind(patient: Patient):
    def hang(words: list[str]) -> str:
        raise subprocess.TimeoutExpired(words, 10)

    patient.run = hang
    assert [each.check for each in only(patient, "temperature")] == ["temperature"]

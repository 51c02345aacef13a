"""What comes over the broker goes on trial, stays when it listened, and is taken back when it did not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from voice_needle import bundle as bundles
from voice_needle import config as configuration
from voice_needle.assembly import open_registry
from voice_needle.errors import ModelMissing
from voice_needle.remote_config import LARGEST_BYTES, TRIES, RemoteConfig, State

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import subprocess

    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "foreign"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "signers").write_text(f"bundle {(folder / 'ours.pub').read_text()}")
    return folder


@pytest.fixture
def afar(keys: Path, tmp_path: Path) -> RemoteConfig:
    return RemoteConfig(tmp_path / "data", keys / "signers")


def made(keys: Path, tmp_path: Path, serial: int, text: str = "route: {room: kitchen}", key: str = "ours", **more: str) -> bytes:
    source = tmp_path / f"source-{serial}"
    shutil.rmtree(source, ignore_errors=True)
    for name, content in {"config.yaml": text, **more}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content)
    bundles.make(source, keys / key, tmp_path / "bundle", serial)
    return (tmp_path / "bundle").read_bytes()


def loaded(tmp_path: Path, more: str = "") -> configuration.Config:
    file = tmp_path / "config.yaml"
    file.write_text(f"profile: pi4\ndata_dir: {tmp_path / 'data'}\nfleet: {{remote: true}}\n{more}")
    return configuration.load(file)


def test_received_tried_settled(keys: Path, tmp_path: Path, afar: RemoteConfig):
    assert afar.state == State() and loaded(tmp_path).route.room == ""
    first = made(keys, tmp_path, 5)
    assert afar.receive(first) and afar.state == State("trial", 5)
    assert loaded(tmp_path).route.room == "kitchen"
    assert not afar.receive(first)  # retained: it comes again
    afar.starting()
    assert afar.settled() and afar.state == State("applied", 5)
    assert not afar.settled() and not afar.failed(ModelMissing("later")) and afar.state == State("applied", 5)


def test_a_start_that_fails_takes_it_back(keys: Path, tmp_path: Path, afar: RemoteConfig):
    assert afar.receive(made(keys, tmp_path, 5)) and afar.settled()
    bad = made(keys, tmp_path, 6, "route: {room: hall}\ntranscribe: {engine: whisper}")
    assert afar.receive(bad)
    afar.starting()
    assert afar.failed(ModelMissing("the Whisper model is not installed"))
    assert afar.state == State("rolled back", 6, "the Whisper model is not installed")
    assert loaded(tmp_path).route.room == "kitchen"
    assert not afar.receive(bad) and afar.state.state == "rolled back"
    assert afar.receive(made(keys, tmp_path, 7, "route: {room: attic}")) and loaded(tmp_path).route.room == "attic"


def test_a_start_that_never_comes_to_listen_takes_it_back(keys: Path, tmp_path: Path, afar: RemoteConfig):
    assert afar.receive(made(keys, tmp_path, 5))
    for number in range(TRIES):  # each killed before it listened
        afar.starting()
        assert afar.state == State("trial", 5, tries=number + 1)
    afar.starting()
    assert afar.state.state == "rolled back" and f"in {TRIES} starts" in afar.state.why
    assert loaded(tmp_path).route.room == ""


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("foreign", "not signed by anybody"),
        ("cut", "not a bundle, or damaged"),
        ("secrets", "secrets cannot come over a broker"),
        ("mistake", "did you mean"),
        ("large", "too large"),
    ],
)
def test_what_is_refused_changes_nothing(keys: Path, tmp_path: Path, afar: RemoteConfig, wrong: str, why: str):
    assert afar.receive(made(keys, tmp_path, 5)) and afar.settled()
    match wrong:
        case "foreign":
            payload = made(keys, tmp_path, 6, key="foreign")
        case "cut":
            payload = made(keys, tmp_path, 6)[:200]
        case "secrets":
            payload = made(keys, tmp_path, 6, secrets="TOKEN=1")
        case "large":
            payload = bytes(LARGEST_BYTES + 1)
        case _:
            source = tmp_path / "source-7"
            source.mkdir()
            (source / "config.yaml").write_text("rote: {room: hall}")
            check, bundles.check = bundles.check, lambda *_: None  # signed by somebody whose tool did not look
            try:
                bundles.make(source, keys / "ours", tmp_path / "bundle", 7)
            finally:
                bundles.check = check
            payload = (tmp_path / "bundle").read_bytes()
    assert not afar.receive(payload)
    assert why in afar.state.refused and (afar.state.state, afar.state.serial) == ("applied", 5)
    assert loaded(tmp_path).route.room == "kitchen"
    assert not list(afar.folder.glob(".bundle-*"))


def test_the_doctor_tells_what_became_of_it(keys: Path, tmp_path: Path, afar: RemoteConfig):
    from voice_needle.doctor import CHECKS, OK, WARN, Patient

    def told() -> tuple[str, str]:
        config = loaded(tmp_path)
        away = replace(config, fleet=replace(config.fleet, broker="mqtt://127.0.0.1:9"))
        *_, last = CHECKS["fleet"](Patient(away))
        return last.state, last.what

    assert afar.receive(made(keys, tmp_path, 5)) and afar.settled()
    assert told() == (OK, "configuration 5 is applied")
    assert afar.receive(made(keys, tmp_path, 6)) and afar.failed(ModelMissing("no model"))
    assert told() == (WARN, "configuration 6 was rolled back: no model")


def test_an_empty_message_and_an_old_serial_are_nothing(keys: Path, tmp_path: Path, afar: RemoteConfig):
    assert not afar.receive(b"") and afar.state == State()
    assert afar.receive(made(keys, tmp_path, 5)) and afar.settled()
    assert not afar.receive(made(keys, tmp_path, 4, "route: {room: hall}")) and afar.state == State("applied", 5)


def test_it_may_not_move_the_data_the_board_or_the_fleet_and_is_read_only_where_wanted(
    keys: Path, tmp_path: Path, afar: RemoteConfig
):
    text = "profile: pi5\ndata_dir: /nowhere\nfleet: {remote: false, broker: 'mqtt://elsewhere'}\nroute: {room: hall}"
    assert afar.receive(made(keys, tmp_path, 5, text))
    config = loaded(tmp_path)
    assert (config.profile, config.data_dir, config.route.room) == ("pi4", tmp_path / "data", "hall")
    assert config.fleet.remote and config.fleet.broker == ""
    (tmp_path / "config.yaml").write_text(f"profile: pi4\ndata_dir: {tmp_path / 'data'}\n")
    assert configuration.load(tmp_path / "config.yaml").route.room == ""


def test_it_may_bring_tools(keys: Path, tmp_path: Path, afar: RemoteConfig):
    tool = {"tools.d/bell/plugin.yaml": BELL}
    assert afar.receive(made(keys, tmp_path, 5, "dispatch: {plugins: [bell]}", **tool))
    assert list(open_registry(loaded(tmp_path)).offered()) == ["ring"]
    without = replace(loaded(tmp_path), fleet=configuration.Fleet())
    assert list(open_registry(without).plugins) == []


BELL = """\
plugin: bell
description: A bell.
tools:
  ring:
    description: Ring the bell.
    sentences: ["ring the bell"]
    handler: {command: ["true"]}
    policy: {risk: low, confirm: never, timeout_ms: 1000}
    say: {success: "Done.", failure: "It did not ring."}
"""

"""The catalogue fits the engines that read the models; a bundle carries them whole; names cannot leave the folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from voice_needle import models
from voice_needle.cli.models import models as command
from voice_needle.errors import ConfigError, ModelCorrupt, ModelMissing
from voice_needle.model_sources import Folder, open_source
from voice_needle.route.needle.checkpoint import FIX as NEEDLE_FILES
from voice_needle.speak.piper import PULL, find_voice
from voice_needle.transcribe.whisper import FILES as WHISPER_FILES
from voice_needle.transcribe.whisper import model_folder


def put(folder: Path, files: dict[str, bytes]) -> None:
    """A model as a stick or a mirror holds it."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    (folder / "SHA256SUMS").write_text(sums)


def contents(name: str) -> dict[str, bytes]:
    return {file: f"{name}/{file}".encode() for file in models.catalogue()[name].files}


@pytest.mark.parametrize("name", models.catalogue())
def test_an_entry_has_all_its_engine_needs(name: str):
    model = models.catalogue()[name]
    assert model.kind and model.what and model.repository.count("/") == 1 and model.size_mb and model.memory_mb and model.licence
    if model.kind == "recogniser":
        assert set(WHISPER_FILES) <= set(model.files)
    if model.kind == "voice":
        voice = name.removeprefix("piper-")
        assert {f"{voice}.onnx", f"{voice}.onnx.json"} <= set(model.files)
    if model.kind == "router":
        assert all(file in NEEDLE_FILES for file in model.files)


def test_the_engines_find_what_was_pulled_and_their_advice_names_it(tmp_path: Path):
    for name in ("whisper-tiny.en", "piper-en_US-lessac-low"):
        put(tmp_path / "stick" / name, contents(name))
        models.pull(name, Folder(tmp_path / "stick"), tmp_path / "data" / "models")
    assert model_folder("tiny.en", tmp_path / "data").name == "whisper-tiny.en"
    assert find_voice(tmp_path / "data" / "models", "lessac").name == "en_US-lessac-low.onnx"
    assert PULL.split()[-1] in models.catalogue()
    with pytest.raises(ModelMissing) as caught:
        model_folder("base.en", tmp_path / "data")
    assert caught.value.fix.split()[-1] in models.catalogue()


def test_a_bundle_carries_models_to_a_device_without_a_network(tmp_path: Path):
    name = "whisper-tiny.en"
    put(tmp_path / "a" / "models" / name, contents(name))
    file = tmp_path / "models.tar"
    size = models.bundle([name], tmp_path / "a" / "models", file)
    assert size == file.stat().st_size
    models.pull(name, open_source(str(file), {}), tmp_path / "b" / "models")
    assert models.verify(name, tmp_path / "b" / "models") == []
    again = tmp_path / "again.tar"
    models.bundle([name], tmp_path / "a" / "models", again)
    assert again.read_bytes() == file.read_bytes()
    with pytest.raises(ModelMissing, match="holds no"):
        models.pull("whisper-base.en", open_source(str(file), {}), tmp_path / "b" / "models")
    cut = tmp_path / "cut.tar"
    cut.write_bytes(file.read_bytes()[:2000])
    with pytest.raises((ModelCorrupt, ModelMissing)):
        models.pull(name, open_source(str(cut), {}), tmp_path / "c" / "models")
    assert models.installed(tmp_path / "c" / "models") == []


def test_a_damaged_model_is_not_bundled(tmp_path: Path):
    name = "whisper-tiny.en"
    put(tmp_path / "models" / name, contents(name))
    (tmp_path / "models" / name / "model.bin").unlink()
    with pytest.raises(ModelCorrupt, match="missing"):
        models.bundle([name], tmp_path / "models", tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


def test_a_usb_stick_is_found_where_desktops_mount_it(tmp_path: Path):
    put(tmp_path / "media" / "pi" / "STICK" / "voice-needle-models" / "m", {"a": b"a"})
    assert open_source("usb", {}, tmp_path).files("m")[0].name == "a"
    with pytest.raises(ModelMissing, match="No USB stick"):
        open_source("usb", {}, tmp_path / "media")


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", ""])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str):
    for act in (lambda: models.pull(name, Folder(tmp_path), tmp_path / "models"), lambda: models.remove(name, tmp_path)):
        with pytest.raises(ConfigError):
            act()


def test_the_command_line_pulls_verifies_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "config.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\nprofile: pi4\nspeak: {{engine: espeak}}\n")
    put(tmp_path / "stick" / "whisper-tiny.en", contents("whisper-tiny.en"))
    run = lambda *words: CliRunner().invoke(command, [*words, "--config", str(config)])  # noqa: E731
    assert "No model is installed" in run("verify").output
    pulled = run("pull", "--from", str(tmp_path / "stick"))  # pi4 asks for tiny.en
    assert pulled.exit_code == 0 and "whisper-tiny.en is in" in pulled.output
    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)["models"]}
    assert rows["whisper-tiny.en"]["installed"] and not rows["whisper-base.en"]["installed"]
    assert run("verify").exit_code == 0
    (tmp_path / "data" / "models" / "whisper-tiny.en" / "model.bin").write_bytes(b"?")
    damaged = run("verify")
    assert damaged.exit_code == 1 and "models pull whisper-tiny.en" in damaged.output
    assert run("remove", "whisper-tiny.en").exit_code == 0
    assert models.installed(tmp_path / "data" / "models") == []
    assert isinstance(run("pull", "wisper-tiny.en").exception, ConfigError)

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from voice_needle.errors import ConfigError
from voice_needle.secrets import MaskSecrets, Secrets


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "secrets"
    file.write_text("# mine\nha_token = abc=def==\n\nmqtt.password=hunter2\n")
    file.chmod(0o600)
    return file


def test_values_are_read_and_shown_nowhere(file: Path) -> None:
    secrets = Secrets.load(file)
    assert secrets.get("ha_token") == "abc=def==" and secrets.get("mqtt.password") == "hunter2"
    shown = f"{secrets!r} {[secrets.get('ha_token')]!r} {secrets.resolve({'a': {'secret': 'ha_token'}}, 'x')!r}"
    assert "abc" not in shown and "ha_token" in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_read_is_refused_with_the_fix(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        Secrets.load(file)
    assert caught.value.fix == f"chmod 600 {file}"


def test_no_file_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ha_token") as caught:
        Secrets.load(tmp_path / "secrets").get("ha_token")
    assert "chmod 600" in caught.value.fix


def test_a_line_that_is_none(file: Path) -> None:
    file.write_text("just words\n")
    with pytest.raises(ConfigError, match=r"secrets:1: a line must be NAME=value"):
        Secrets.load(file)


def test_systemd_credentials_win(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "ha_token").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    secrets = Secrets.load(file)
    assert (secrets.get("ha_token"), secrets.get("mqtt.password")) == ("from systemd", "hunter2")


def test_settings_are_resolved_at_any_depth(file: Path) -> None:
    secrets = Secrets.load(file)
    given = {"url": "x", "deep": [{"token": {"secret": "ha_token"}}], "gone": {"secret": "none"}}
    assert secrets.resolve(given, "home", {"gone"}) == {"url": "x", "deep": [{"token": "abc=def=="}], "gone": None}
    with pytest.raises(ConfigError):
        secrets.resolve(given, "home")


def test_no_secret_gets_into_a_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(MaskSecrets(Secrets.load(file)))
    try:
        raise ValueError("bad password hunter2")
    except ValueError:
        logging.getLogger("x").exception("tried %s with %s", "hunter2", {"p": "abc=def=="})
    assert "hunter2" not in caplog.text and "abc=def" not in caplog.text and "•••" in caplog.text


def test_masking_goes_deep(file: Path) -> None:
    masked = Secrets.load(file).mask_deep({"a": ["x hunter2 y", 3], "b": {"c": "abc=def=="}})
    assert masked == {"a": ["x ••• y", 3], "b": {"c": "•••"}}

"""A running assistant is given another configuration over a real broker: it takes a good one, and takes a bad one back."""

from __future__ import annotations

import queue
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import Home
from fleet_parts import Signer
from mosquitto import Mosquitto, mosquitto  # noqa: F401 (a fixture)
from test_fleet import Listener, listener  # noqa: F401 (a fixture)

needed = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")


@pytest.fixture
def device(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Signer]]:  # noqa: F811
    """The assistant, listening to a quiet room."""
    home, signer = Home(tmp_path), Signer(tmp_path)
    soundfile.write(tmp_path / "quiet.wav", np.zeros(600 * 16_000, np.int16), 16_000)
    config = home.config(
        f"profile: pi4\ndata_dir: {tmp_path / 'data'}\ntranscribe: {{engine: sphinx}}\nroute: {{router: templates}}\n"
        f"dispatch: {{plugins: [desk]}}\n"
        f"fleet: {{broker: '{mosquitto.url}', name: till, remote: true, trial_s: 1, signers: {signer.trusted}}}\n"
    )
    command = home.command("run", "--config", config, "--input", tmp_path / "quiet.wav", "--realtime")
    process = subprocess.Popen(command, env=home.environment, stderr=subprocess.DEVNULL)
    yield process, signer
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


def until(listener: Listener, state: str) -> dict[str, object]:  # noqa: F811
    """The status in which the remote configuration is in this state."""
    while True:
        config = listener.until("till/status", online=True).get("config") or {}
        if config.get("state", "none") == state:
            return dict(config)


@needed
def test_a_good_one_stays_a_bad_one_is_taken_back_and_a_foreign_one_refused(
    mosquitto: Mosquitto, listener: Listener, device: tuple[subprocess.Popen[bytes], Signer], tmp_path: Path  # noqa: F811
):
    process, signer = device
    number = process.pid
    listener.until("till/status", online=True)

    send(tmp_path, mosquitto, signer.bundle(1, {"config.yaml": "route: {room: kitchen}\n"}), "till")
    assert until(listener, "applied") == {"state": "applied", "serial": 1}
    assert (tmp_path / "data/fleet/config.yaml").read_text() == "route: {room: kitchen}\n"

    bad = "route: {room: hall}\ntranscribe: {engine: whisper, whisper_model: tiny.en}\n"  # which is not installed
    send(tmp_path, mosquitto, signer.bundle(2, {"config.yaml": bad}), "all")
    found = until(listener, "rolled back")
    assert found["serial"] == 2 and "Whisper model tiny.en is not installed" in str(found["why"])
    assert (tmp_path / "data/fleet/config.yaml").read_text() == "route: {room: kitchen}\n"

    foreign = Signer(tmp_path / "elsewhere")
    send(tmp_path, mosquitto, foreign.bundle(3, {"config.yaml": "route: {room: attic}\n"}), "till")
    while "refused" not in found:
        found = until(listener, "rolled back")
    assert "not signed by anybody" in str(found["refused"])
    assert process.poll() is None and process.pid == number
    with pytest.raises(queue.Empty):
        listener.got.get(timeout=0.5)  # and it does not go round in circles


def send(tmp_path: Path, broker: Mosquitto, payload: bytes, device: str) -> None:
    file = tmp_path / "sent.bundle"
    file.write_bytes(payload)
    done = Home(tmp_path).run("bundle", "send", file, "--device", device, "--broker", broker.url)
    assert done.returncode == 0, done.stderr
    assert f"voice-needle/{device}/config" in done.stdout

"""A real Mosquitto of one's own on a free port: for scenarios, the demo, and tests that pause, kill and restart it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from voice_needle.errors import EngineMissing

_LIMIT_S = 10.0


def free_port() -> int:
    """A TCP port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker for this machine only. It keeps nothing on disk: after a restart retained messages are gone.

    folder: for its configuration. Errors: EngineMissing where it is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if self._program is None:
            raise EngineMissing("mosquitto is not installed", fix="sudo apt install mosquitto")
        self.port = free_port()
        self._conf = folder / "mosquitto.conf"
        self._conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_dest none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it listens. Errors: EngineMissing when it does not within ten seconds."""
        null = subprocess.DEVNULL
        self._process = subprocess.Popen([str(self._program), "-c", str(self._conf)], stdout=null, stderr=null)
        until = time.monotonic() + _LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise EngineMissing(f"mosquitto did not start on port {self.port}", fix="mosquitto -v")
            time.sleep(0.01)  # there is nothing to wait for but the port itself

    def stop(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open, nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.resume()
        self.stop()

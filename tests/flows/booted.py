"""A real systemd with our units: this machine's own root file system under a throw-away overlay, booted by systemd-nspawn."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PYTHON = f"""\
#!/bin/sh
export PYTHONPATH=/opt/voice-needle/source:/opt/voice-needle/packages
export LD_LIBRARY_PATH=/opt/voice-needle/base/lib
exec /opt/voice-needle/base/bin/python{sys.version_info.major}.{sys.version_info.minor} "$@"
"""
BINDS = {  # outside of /home and /root, which the service may not see
    "base": Path(sys.base_prefix),
    "source": REPOSITORY,
    "packages": Path(sysconfig.get_path("purelib")),
}


class Unavailable(Exception):
    """This machine cannot boot a container: not root, no systemd-nspawn, or not allowed to mount."""


class Machine:
    """Boots to a target that waits; `run` executes inside; `stop` switches it off and leaves nothing behind."""

    def __init__(self) -> None:
        if os.geteuid() != 0 or not shutil.which("systemd-nspawn"):
            raise Unavailable("needs root and systemd-nspawn")
        self.place = Path(tempfile.mkdtemp(prefix="vn-machine-"))
        self.root = self.place / "root"
        self._mounts: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0
        self.log = self.place / "console.log"

    def _mount(self, place: Path, *words: str) -> None:
        place.mkdir(exist_ok=True)
        if subprocess.run(["mount", *words, str(place)], capture_output=True, check=False).returncode:
            self.stop()
            raise Unavailable("may not mount")
        self._mounts.append(place)

    def start(self) -> None:
        layer = self.place / "layer"
        self._mount(layer, "-t", "tmpfs", "-o", "size=1g", "tmpfs")
        (layer / "up").mkdir()
        (layer / "work").mkdir()
        self._mount(self.root, "-t", "overlay", "-o", f"lowerdir=/,upperdir={layer}/up,workdir={layer}/work", "overlay")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.write("etc/fstab", "")
        self.write("etc/systemd/system/waiting.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n")
        self.install()
        command = [
            "systemd-nspawn", "-q", "-D", str(self.root), "--link-journal=no", "--register=no", "--keep-unit",
            "--private-network", "--console=pipe", "--capability=all", "--system-call-filter=bpf",
            *(f"--bind-ro={path}:/opt/voice-needle/{name}" for name, path in BINDS.items()),
            "--", "/lib/systemd/systemd", "--unit=waiting.target",
        ]  # fmt: skip
        env = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.until(self._find_init, 30)
            self.until(lambda: self.run("systemctl", "is-active", "waiting.target").stdout.strip() == "active", 40)
        except TimeoutError:
            text = self.log.read_text(errors="replace")[-500:]
            self.stop()
            raise Unavailable(f"systemd does not boot in a container here: {text}") from None

    def install(self) -> None:
        """The units as `make install` puts them, and the package as it lies here."""
        units = self.root / "etc/systemd/system"
        for unit in (REPOSITORY / "systemd").glob("voice-needle*.*"):
            if unit.suffix in (".service", ".target", ".timer"):
                shutil.copy(unit, units)
        shutil.copy(REPOSITORY / "systemd/voice-needle.sysusers", self.root / "usr/lib/sysusers.d/voice-needle.conf")
        shutil.copy(REPOSITORY / "systemd/voice-needle.tmpfiles", self.root / "usr/lib/tmpfiles.d/voice-needle.conf")
        self.write("opt/voice-needle/bin/python", PYTHON, 0o755)
        self.write("opt/voice-needle/bin/voice-needle", PYTHON.replace('"$@"', '-m voice_needle "$@"'), 0o755)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def drop_in(self, text: str, unit: str = "voice-needle.service", name: str = "90-test.conf") -> None:
        self.write(f"etc/systemd/system/{unit}.d/{name}", text)
        if self._init:
            self.run("systemctl", "daemon-reload")

    def _find_init(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise TimeoutError
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._init = int(children[0]) if children else 0
        return bool(self._init)

    def run(self, *words: str, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
        command = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)

    def show(self, prop: str, unit: str = "voice-needle.service") -> str:
        return self.run("systemctl", "show", "-P", prop, unit).stdout.strip()

    def journal(self, unit: str = "voice-needle.service") -> str:
        return self.run("journalctl", "-u", unit, "--no-pager", "-o", "cat").stdout

    @staticmethod
    def until(condition: Callable[[], object], seconds: float) -> None:
        """Errors: TimeoutError."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.1)  # systemd offers a property, not an event

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for place in reversed(self._mounts):
            subprocess.run(["umount", "-l", str(place)], check=False)
        shutil.rmtree(self.place, ignore_errors=True)


class Microphone:
    """Room silence at the speed of sound into a FIFO, until it is told to hold its breath."""

    def __init__(self, fifo: Path) -> None:
        os.mkfifo(fifo, 0o644)
        fifo.chmod(0o644)
        self._end = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.flowing, self._stop = threading.Event(), threading.Event()
        self.flowing.set()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        while not self._stop.wait(0.1):
            if self.flowing.is_set():
                with contextlib.suppress(BlockingIOError):
                    os.write(self._end, bytes(3200))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._end)

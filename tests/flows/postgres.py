"""A real PostgreSQL in a temporary folder: started, stopped, killed and paused as a test needs it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest


def _program(name: str) -> str:
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))[::-1]), None)
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install postgresql")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One cluster. It refuses to run as root, so root runs it as the user postgres."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self._data = folder / "data"
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", self.user, "-N", "-E", "UTF8", "--locale=C")

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        command = [_program(program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"

    def start(self) -> None:
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=40"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", str(self.folder / "log"), "-o", settings, "start")

    def stop(self, how: str = "fast") -> None:
        """how: fast, or immediate (as a power cut does it)."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", how, "stop")

    def pause(self) -> None:
        """Nothing is answered any more, and nothing is refused either."""
        for process in self._processes():
            process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        for process in self._processes():
            process.send_signal(signal.SIGCONT)

    def _processes(self) -> list[psutil.Process]:
        number = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(number)
        return [postmaster, *postmaster.children(recursive=True)]

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url, autocommit=True, application_name="referee")


@contextmanager
def cluster() -> Iterator[Server]:
    """A started server; its folder is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="voice-needle-pg-"))
    try:
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            with suppress(FileNotFoundError, psutil.NoSuchProcess):
                server.resume()
            with suppress(AssertionError):
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

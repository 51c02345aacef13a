"""ELM327 adapters for tests, on pseudo terminals: the ELM327-emulator package in its own process, and a small one of ours.

ELM327-emulator is under CC BY-NC-SA 4.0, so it is only ever run as a program of its own, and only where it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALLED = importlib.util.find_spec("elm") is not None


@contextmanager
def emulator(folder: Path) -> Iterator[str]:
    """ELM327-emulator with its car scenario. Yields its serial port."""
    batch = folder / "elm.txt"
    with subprocess.Popen(
        [sys.executable, "-m", "elm", "-b", str(batch), "-s", "car"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=batch.parent,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 20
            while not (batch.is_file() and batch.read_text().startswith("/dev/")):
                assert process.poll() is None and time.monotonic() < until, "ELM327-emulator did not start"
                time.sleep(0.05)
            yield batch.read_text().splitlines()[0].strip()
        finally:
            process.terminate()


class Adapter:
    """Ours. values: mode 01 parameter -> data bytes in hexadecimal. fault: "", silent or garbage."""

    def __init__(self) -> None:
        self.values = {"0D": "00"}
        self.fault = ""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        pending = b""
        while not self._over.is_set():
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            pending += os.read(self._master, 64)
            while b"\r" in pending:
                command, _, pending = pending.partition(b"\r")
                if self.fault != "silent":
                    os.write(self._master, self._answer(command.decode()).encode() + b"\r\r>")

    def _answer(self, command: str) -> str:
        if self.fault == "garbage":
            return "4Z0\x00D?FF"
        if command.startswith("AT"):
            return "ELM327 v1.5" if command == "ATZ" else "OK"
        data = self.values.get(command[2:])
        return f"41{command[2:]}{data}" if command.startswith("01") and data else "NO DATA"

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

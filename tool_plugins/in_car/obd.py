"""The car's state through an ELM327 adapter on the OBD-II port: a small client of its own, reading only.

Commands: ELM327 data sheet (Elm Electronics, v2.3). Parameters: SAE J1979 / ISO 15031-5, mode 01. A serial port, USB or
Bluetooth (rfcomm), or a pseudo terminal.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import serial

from voice_needle.errors import ToolUnreachable

from .state import BATTERY, FUEL, OUTSIDE, RANGE, SPEED, plausible

_PIDS: Mapping[str, tuple[str, int, Callable[[bytes], float]]] = {
    SPEED: ("0D", 1, lambda data: float(data[0])),
    FUEL: ("2F", 1, lambda data: data[0] * 100 / 255),
    OUTSIDE: ("46", 1, lambda data: data[0] - 40.0),
    BATTERY: ("5B", 1, lambda data: data[0] * 100 / 255),  # hybrid battery pack remaining life
}
_ANSWER_S = 2.0
_FRESH_S = 0.5


class Elm327:
    """One adapter. Blocking; not for two threads at once. Errors: OSError, TimeoutError."""

    def __init__(self, port: str, baud: int) -> None:
        self._port = serial.Serial(port, baudrate=baud, timeout=0.1, write_timeout=1.0)
        try:
            for command in ("ATZ", "ATE0", "ATL0", "ATS0", "ATH0", "ATSP0"):
                self.ask(command, 5.0 if command == "ATZ" else _ANSWER_S)
        except BaseException:
            self.close()
            raise

    def ask(self, command: str, limit_s: float = _ANSWER_S) -> str:
        """Send a command and read to the prompt."""
        self._port.reset_input_buffer()
        self._port.write(command.encode() + b"\r")
        answer, until = b"", time.monotonic() + limit_s
        while not answer.rstrip().endswith(b">"):
            if time.monotonic() > until:
                raise TimeoutError(f"the adapter did not answer {command}")
            answer += self._port.read(64)
        return answer.decode("ascii", "replace").rstrip("\r\n >")

    def read(self, pid: str, length: int) -> bytes | None:
        """Data bytes of a mode 01 parameter; None when the car does not have it, or the answer makes no sense."""
        for line in self.ask(f"01{pid}", 5.0).splitlines():
            text = re.sub(r"\s", "", line)
            if text.startswith(f"41{pid}") and re.fullmatch(r"[0-9A-F]+", text) and len(text) >= 4 + 2 * length:
                return bytes.fromhex(text[4 : 4 + 2 * length])
        return None

    def close(self) -> None:
        self._port.close()


class ObdState:
    """VehicleState from an ELM327. Opened at first use, and again after it was unplugged."""

    def __init__(self, port: str, baud: int, log: logging.Logger) -> None:
        self._port, self._baud, self._log = port, baud, log
        self._elm: Elm327 | None = None
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, float | None]] = {}

    async def read(self, what: str) -> float | None:
        """Errors: ToolUnreachable without an adapter."""
        if what == RANGE:
            return None  # no standard parameter tells it
        at, value = self._known.get(what, (-1e9, None))
        if time.monotonic() - at > _FRESH_S:
            value = await asyncio.to_thread(self._read, what)
            self._known[what] = (time.monotonic(), value)
        return value

    def _read(self, what: str) -> float | None:
        pid, length, decode = _PIDS[what]
        with self._lock:
            try:
                if self._elm is None:
                    self._elm = Elm327(self._port, self._baud)
                data = self._elm.read(pid, length)
            except (OSError, TimeoutError) as error:
                self._drop()
                raise ToolUnreachable(
                    f"the OBD adapter at {self._port} does not answer: {error}",
                    fix="plugins.in_car.obd_port: /dev/ttyUSB0",
                    spoken="The car's diagnostic adapter does not answer.",
                ) from error
        return None if data is None else plausible(what, decode(data))

    async def tyres(self) -> Mapping[str, float] | None:
        return None

    def _drop(self) -> None:
        elm: Any = self._elm
        self._elm = None
        if elm is not None:
            elm.close()

    async def close(self) -> None:
        with self._lock:
            self._drop()

"""The way to the vehicle: commands as CAN frames by a DBC file, and the status frames that prove they were carried out.

A command carries a request number; only a status frame that repeats it, and reports what was asked for, counts as done.
Frames are read in one thread; everything else happens on the loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import can
import cantools

from voice_needle.errors import ToolFailed, ToolUnconfirmed, ToolUnreachable

Values = Mapping[str, Any]
DBC = Path(__file__).with_name("vehicle.dbc")
_KEYS = {"ClimateStatus": "Zone", "WindowStatus": "Window", "SeatStatus": "Seat", "LightStatus": "Light"}


def load(file: Path = DBC) -> Any:
    """The messages of a DBC file. Errors: ToolFailed when it cannot be read."""
    try:
        return cantools.database.load_file(file)
    except Exception as error:
        raise ToolFailed(f"{file} is no DBC file: {error}", fix="plugins.in_car.dbc: FILE.dbc") from error


def encode(database: Any, name: str, values: Values) -> can.Message:
    """A frame. Signals that are not given get their largest raw value, which means: leave it as it is."""
    message = database.get_message_by_name(name)
    whole: dict[str, Any] = {}
    for signal in message.signals:
        largest = (1 << signal.length) - 1
        leave = 0 if signal.is_signed else largest * signal.scale + signal.offset
        given = values.get(signal.name, 0 if signal.name == "Halt" else leave)
        whole[signal.name] = given
    return can.Message(arbitration_id=message.frame_id, data=message.encode(whole, strict=False), is_extended_id=False)


@dataclass(frozen=True)
class Report:
    """The latest status frame of one kind (and zone, window, ...). at_s: when it came, monotonic."""

    values: Values
    at_s: float


class CarBus:
    """One CAN bus. interface, channel: as python-can names them (virtual, socketcan, udp_multicast, ...)."""

    def __init__(self, database: Any, interface: str, channel: str, log: logging.Logger) -> None:
        self._database = database
        self._interface = interface
        self._channel = channel
        self._log = log
        self._bus: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._requests = itertools.cycle(range(1, 256))
        self._latest: dict[tuple[str, Any], Report] = {}
        self._watchers: set[Callable[[str, Values], None]] = set()

    def open(self) -> None:
        """Open the bus and begin to read. Errors: ToolUnreachable."""
        if self._bus is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            self._bus = can.Bus(interface=self._interface, channel=self._channel, receive_own_messages=False)
        except (can.CanError, OSError, ValueError) as error:
            raise ToolUnreachable(
                f"the CAN bus {self._interface} {self._channel} cannot be opened: {error}",
                fix=f"ip link set {self._channel} up type can bitrate 500000",
                spoken="I cannot reach the car's network. Nothing was done.",
            ) from error
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(self._bus, self._closed), name="can reader", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop reading and let go of the bus."""
        bus, self._bus = self._bus, None
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if bus is not None:
            bus.shutdown()

    # --- reading ---

    def _read(self, bus: Any, closed: threading.Event) -> None:
        while not closed.is_set():
            try:
                frame = bus.recv(timeout=0.25)
            except (can.CanError, OSError, ValueError) as error:
                if not closed.is_set():
                    self._log.error("the CAN bus was lost: %s", error)
                    self._call(self._lost)
                return
            if frame is not None and not closed.is_set():
                self._decode(frame)

    def _decode(self, frame: can.Message) -> None:
        try:
            message = self._database.get_message_by_frame_id(frame.arbitration_id)
            values = message.decode(bytes(frame.data), decode_choices=False)
        except Exception as error:  # other nodes' frames, and frames that are broken
            self._log.debug("frame %x is not one of ours: %s", frame.arbitration_id, error)
            return
        self._call(self._seen, message.name, values)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _seen(self, name: str, values: Values) -> None:
        key = values.get(_KEYS[name]) if name in _KEYS else None
        self._latest[(name, key)] = Report(values, time.monotonic())
        for watcher in list(self._watchers):
            watcher(name, values)

    def _lost(self) -> None:
        self._bus = None

    def latest(self, name: str, key: int | None = None, *, within_s: float = 5.0) -> Values | None:
        """The last status frame of a kind; None when it is older than that, or never came."""
        found = self._latest.get((name, key))
        return found.values if found and time.monotonic() - found.at_s <= within_s else None

    async def report(
        self, name: str, key: int | None = None, *, within_s: float = 5.0, wait_s: float = 2.5
    ) -> Values | None:
        """As `latest`, but waits for the next frame where there is none."""
        self.open()
        found = self.latest(name, key, within_s=within_s)
        if found is not None:
            return found
        try:
            return await self._wait(
                lambda kind, values: kind == name and (key is None or values.get(_KEYS[name]) == key), wait_s
            )
        except TimeoutError:
            return None

    async def until(self, name: str, key: int | None, done: Callable[[Values], bool], limit_s: float) -> Values:
        """Wait for a status frame for which `done` holds; the latest one counts. Errors: TimeoutError."""
        found = self.latest(name, key)
        if found is not None and done(found):
            return found
        return await self._wait(
            lambda kind, values: kind == name and values.get(_KEYS.get(name, "")) == key and done(values), limit_s
        )

    async def _wait(self, wanted: Callable[[str, Values], bool], limit_s: float) -> Values:
        future: asyncio.Future[Values] = asyncio.get_running_loop().create_future()

        def watch(name: str, values: Values) -> None:
            if not future.done() and wanted(name, values):
                future.set_result(values)

        self._watchers.add(watch)
        try:
            async with asyncio.timeout(limit_s):
                return await future
        finally:
            self._watchers.discard(watch)

    # --- commanding ---

    async def send(self, name: str, request: int | None = None, /, **values: Any) -> None:
        """Send a command under a request number, a fresh one by default. Errors: ToolUnreachable."""
        self.open()
        request = next(self._requests) if request is None else request
        frame = encode(self._database, name, {**values, "Request": request})
        bus = self._bus
        try:
            await asyncio.to_thread(bus.send, frame, 0.5)
        except (can.CanError, OSError, AttributeError) as error:
            self.close()
            what = f"the command could not be put on the CAN bus: {error}"
            raise ToolUnreachable(what, spoken="I cannot reach the car's network. Nothing was done.") from error

    async def command(
        self,
        name: str,
        status: str,
        wanted: Values,
        *,
        limit_s: float = 1.5,
        done: Callable[[Values], bool] | None = None,
        **also: Any,
    ) -> Values:
        """Send `wanted` as command `name` and wait until `status` reports it. Returns the status frame.

        also: signals that are sent, but not reported back. done: instead of "every wanted signal is reported".
        Errors: ToolUnreachable; ToolUnconfirmed when the vehicle is silent, or says that something else is the case.
        """
        reported = done or (lambda values: all(abs(values[key] - value) < 1e-3 for key, value in wanted.items()))
        answered = False
        request = next(self._requests)

        def fits(kind: str, values: Values) -> bool:
            nonlocal answered
            if kind != status or values.get("Request") != request:
                return False
            answered = True
            return reported(values)

        waiting = asyncio.ensure_future(self._wait(fits, limit_s))
        await asyncio.sleep(0)  # the watcher listens before the frame goes out
        try:
            await self.send(name, request, **wanted, **also)
            return await waiting
        except TimeoutError as error:
            said = (
                "I sent it, but the car reports something else."
                if answered
                else "I sent it, but the car did not answer."
            )
            raise ToolUnconfirmed(f"{name} {request}: no {status} that confirms it", spoken=said) from error
        finally:
            waiting.cancel()

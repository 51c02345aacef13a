"""A simulated vehicle on a CAN bus: obeys command frames, answers each with a status frame, and reports its own state.

Runs in a thread, on its own connection to the bus. Its faults are for tests: a vehicle that is silent, lies, is slow, sends
garbage or answers only every other time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import can

from .bus import encode, load

_CYCLE_S = 0.2  # motion; the rest once a second
_TICK_S = 0.05  # while a window moves
_COPIED = {
    "ClimateCommand": ("ClimateStatus", "Zone"),
    "SeatCommand": ("SeatStatus", "Seat"),
    "LightCommand": ("LightStatus", "Light"),
    "WiperCommand": ("WiperStatus", None),
    "DoorCommand": ("DoorStatus", None),
}
_SHARED = ("Ac", "FrontDefrost", "RearDefrost", "Recirculation")


class Vehicle:
    """faults: any of silent, lying, slow, garbage, flapping. window_speed: percent of the way in a second."""

    def __init__(self, interface: str, channel: str, *, window_speed: float = 60.0, database: Any = None) -> None:
        self.database = database or load()
        self.faults: set[str] = set()
        self.obstacle: dict[int, float] = {}  # window -> position at which something is in its way
        self.window_speed = window_speed
        self.drive: dict[str, dict[str, float]] = {
            "Motion": {"Speed": 0.0, "Gear": 0, "Odometer": 18234.5},
            "Energy": {"Battery": 74.0, "Range": 296.0, "Fuel": 127.5},
            "Tyres": {"FrontLeft": 2.5, "FrontRight": 2.5, "RearLeft": 2.4, "RearRight": 2.02},
            "Ambient": {"OutsideTemperature": 6.5},
        }
        self.body: dict[tuple[str, int | None], dict[str, float]] = {}
        self.waypoints: list[tuple[float, float]] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []  # every command, in order
        self._moving: dict[int, tuple[float, int]] = {}  # window -> (target, request)
        self._bus = can.Bus(interface=interface, channel=channel, receive_own_messages=False)
        self._stop = threading.Event()
        self._answers = 0
        self.reset()
        self._thread = threading.Thread(target=self._run, name="simulated vehicle", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """A parked car with everything off, 20 degrees set, windows closed."""
        climate = {"Temperature": 20.0, "Fan": 2, "Ac": 0, "FrontDefrost": 0, "RearDefrost": 0, "Recirculation": 0}
        self.body = {("ClimateStatus", zone): {"Zone": zone, **climate} for zone in range(3)}
        self.body |= {("WindowStatus", n): {"Window": n, "Position": 0.0, "Moving": 0, "Blocked": 0} for n in range(4)}
        self.body |= {("SeatStatus", seat): {"Seat": seat, "Heat": 0, "Recline": 20} for seat in range(4)}
        self.body |= {("LightStatus", light): {"Light": light, "State": 0} for light in range(5)}
        self.body[("WiperStatus", None)] = {"Mode": 0}
        self.body[("DoorStatus", None)] = {"Locked": 1, "TrunkOpen": 0}
        self.body[("MediaStatus", None)] = {"Playing": 0, "Source": 0, "Volume": 30, "Track": 1}
        self.drive["Motion"]["Speed"] = 0.0
        self.waypoints, self._moving, self.obstacle = [], {}, {}
        self.faults.clear()
        self.seen.clear()

    def announce(self) -> float:
        """Report everything now. Returns the odometer reading of the last frame, by which it can be recognised."""
        self.drive["Motion"]["Odometer"] = round(self.drive["Motion"]["Odometer"] + 0.1, 1)
        for (name, _), values in list(self.body.items()):
            self._send(name, {**values, "Request": 0})
        for name in ("Energy", "Tyres", "Ambient", "Motion"):
            self._send(name, self.drive[name])
        return self.drive["Motion"]["Odometer"]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2.0)
        self._bus.shutdown()

    # --- the vehicle's own life ---

    def _run(self) -> None:
        next_cycle = next_tick = time.monotonic()
        cycles = 0
        while not self._stop.is_set():
            until = min(next_cycle, next_tick) if self._moving else next_cycle
            frame = self._bus.recv(timeout=max(0.0, until - time.monotonic()))
            if frame is not None:
                self._obey(frame)
            now = time.monotonic()
            if self._moving and now >= next_tick:
                self._move(_TICK_S)
                next_tick = now + _TICK_S
            if now >= next_cycle:
                self._report(cycles)
                cycles, next_cycle = cycles + 1, now + _CYCLE_S

    def _report(self, cycle: int) -> None:
        if "silent" in self.faults:
            return
        for name in self.drive if cycle % 5 == 0 else ("Motion",):
            self._send(name, self.drive[name])
        if cycle % 5 == 0:
            for (name, _), values in list(self.body.items()):
                self._send(name, {**values, "Request": 0})

    def _send(self, name: str, values: Mapping[str, Any]) -> None:
        frame = encode(self.database, name, values)
        if "garbage" in self.faults:
            frame.data = bytearray(random.randbytes(random.randint(0, 7)))
            frame.dlc = len(frame.data)
        self._bus.send(frame)

    # --- commands ---

    def _obey(self, frame: can.Message) -> None:
        try:
            message = self.database.get_message_by_frame_id(frame.arbitration_id)
        except KeyError:
            return
        if not message.name.endswith("Command"):
            return
        values = message.decode(bytes(frame.data), decode_choices=False)
        self.seen.append((message.name, values))
        if "silent" in self.faults:
            return
        if "slow" in self.faults:
            self._stop.wait(2.0)
        self._answers += 1
        if "flapping" in self.faults and self._answers % 2:
            return
        name, key = self._apply(message, values)
        if name:
            answer = dict(self.body.get((name, key), {}))
            self._send(name, {**answer, **self._extra(name), "Request": values["Request"]})

    def _extra(self, name: str) -> dict[str, Any]:
        if name != "WaypointStatus":
            return {}
        latitude, longitude = self.waypoints[-1] if self.waypoints else (0.0, 0.0)
        return {"Count": min(7, len(self.waypoints)), "Latitude": latitude, "Longitude": longitude}

    def _apply(self, message: Any, values: Mapping[str, Any]) -> tuple[str, int | None]:
        """Do it, unless this is a vehicle that lies. Returns which status answers."""
        honest = "lying" not in self.faults
        if message.name in _COPIED:
            name, selector = _COPIED[message.name]
            key = int(values[selector]) if selector else None
            if honest and (name, key) in self.body:
                self._copy(message, values, name, key)
            return name, key
        if message.name == "WindowCommand":
            return self._window(values, honest)
        if message.name == "MediaCommand":
            if honest:
                self._media(values)
            return "MediaStatus", None
        if message.name == "WaypointCommand":
            if honest and values["Action"] == 0:
                self.waypoints.append((values["Latitude"], values["Longitude"]))
            elif honest:
                self.waypoints.clear()
            return "WaypointStatus", None
        return "", None

    def _copy(self, message: Any, values: Mapping[str, Any], name: str, key: int | None) -> None:
        for signal in message.signals:
            leave = ((1 << signal.length) - 1) * signal.scale + signal.offset
            if signal.name not in self.body[(name, key)] or (values[signal.name] == leave and signal.length > 1):
                continue
            self.body[(name, key)][signal.name] = values[signal.name]
            if signal.name in _SHARED:
                for zone in range(3):
                    self.body[(name, zone)][signal.name] = values[signal.name]

    def _window(self, values: Mapping[str, Any], honest: bool) -> tuple[str, int | None]:
        window = int(values["Window"])
        state = self.body.get(("WindowStatus", window))
        if state is None:
            return "", None
        if values["Halt"]:
            self._moving.pop(window, None)
            state["Moving"] = 0
        elif honest:
            state |= {"Moving": 1, "Blocked": 0}
            self._moving[window] = (float(values["Position"]), int(values["Request"]))
        return "WindowStatus", window

    def _move(self, seconds: float) -> None:
        for window, (target, request) in list(self._moving.items()):
            state = self.body[("WindowStatus", window)]
            step = self.window_speed * seconds
            here = state["Position"]
            there = min(target, here + step) if target > here else max(target, here - step)
            limit = self.obstacle.get(window)
            if limit is not None and there < here and there <= limit:
                there = max(limit, min(here, limit))
                state["Blocked"] = 1
            state["Position"] = there
            if there == target or state["Blocked"]:
                state["Moving"] = 0
                del self._moving[window]
            self._send("WindowStatus", {**state, "Request": request})

    def _media(self, values: Mapping[str, Any]) -> None:
        state = self.body[("MediaStatus", None)]
        action = int(values["Action"])
        if action < 4:
            state["Playing"] = int(action != 1)
            state["Track"] += {2: 1, 3: -1}.get(action, 0)
        if values["Source"] != 15:
            state["Source"], state["Playing"] = values["Source"], 1
        if values["Volume"] != 255:
            state["Volume"] = values["Volume"]

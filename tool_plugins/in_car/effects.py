"""For the scenarios: a simulated vehicle on a virtual bus of its own, and what it does after a request."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from .simulator import Vehicle

_NUMBERS = {
    "climate": ("ClimateStatus", ["driver", "passenger", "rear"]),
    "window": ("WindowStatus", ["driver", "passenger", "rear_left", "rear_right"]),
    "seat": ("SeatStatus", ["driver", "passenger", "rear_left", "rear_right"]),
    "light": ("LightStatus", ["headlights", "high_beam", "fog_lights", "interior", "hazard"]),
}
_SINGLE = {"wipers": "WiperStatus", "doors": "DoorStatus", "media": "MediaStatus"}


class Car:
    """effect: {climate driver: {Temperature: 21}, doors: {Locked: 1}, waypoints: 1, frames: [SeatCommand]}."""

    def __init__(self) -> None:
        channel = f"scenarios-{uuid.uuid4().hex[:8]}"
        self.vehicle = Vehicle("virtual", channel, window_speed=400.0)
        self.settings: Mapping[str, Any] = {"interface": "virtual", "channel": channel, "simulate": False}
        self._bus: Any = None
        self._data: Path | None = None

    async def reset(self, tooling: Any) -> None:
        context = tooling.hosts.host("in_car").context
        self._bus = context.state["bus"]
        (context.data_dir / "waypoints.json").unlink(missing_ok=True)
        self.vehicle.reset()
        await self._known()

    async def prepare(self, wanted: Mapping[str, Any]) -> None:
        """speed: km/h; fault: silent, lying, ...; obstacle: {window: percent}."""
        for key, value in wanted.items():
            match key:
                case "speed":
                    self.vehicle.drive["Motion"]["Speed"] = float(value)
                    await self._known()
                case "fault":
                    self.vehicle.faults = {value} if value else set()
                case "obstacle":
                    windows = _NUMBERS["window"][1]
                    self.vehicle.obstacle = {windows.index(name): float(at) for name, at in value.items()}
                case "open":
                    for name in value:
                        self.vehicle.body[("WindowStatus", _NUMBERS["window"][1].index(name))]["Position"] = 100.0
                    await self._known()
                case _:
                    raise ValueError(f"the car cannot be {key}")

    async def _known(self) -> None:
        """Wait until the assistant's side of the bus has heard how the vehicle is now."""
        reading = self.vehicle.announce()
        await self._bus.until("Motion", None, lambda values: abs(values["Odometer"] - reading) < 0.05, 2.0)

    async def check(self, effect: Mapping[str, Any], tooling: Any) -> str:
        wrong = []
        for key, wanted in effect.items():
            found = self._found(key, wanted)
            if found != wanted:
                wrong.append(f"{key}: expected {wanted}, found {found}")
        return "; ".join(wrong)

    def _found(self, key: str, wanted: Any) -> Any:
        if key == "waypoints":
            return len(self.vehicle.waypoints)
        if key == "frames":
            return [name for name, _ in self.vehicle.seen]
        kind, _, which = key.partition(" ")
        if kind in _SINGLE:
            values = self.vehicle.body[(_SINGLE[kind], None)]
        else:
            status, names = _NUMBERS[kind]
            values = self.vehicle.body[(status, names.index(which))]
        return {signal: values[signal] for signal in wanted}


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[Car]:
    car = Car()
    try:
        yield car
    finally:
        car.vehicle.close()

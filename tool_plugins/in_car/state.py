"""What the vehicle says of itself: from its CAN status frames, or read-only through the OBD-II port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .bus import CarBus

SPEED, RANGE, BATTERY, FUEL, OUTSIDE = "speed", "range", "battery", "fuel", "outside_temperature"
WHEELS = {"front_left": "FrontLeft", "front_right": "FrontRight", "rear_left": "RearLeft", "rear_right": "RearRight"}
_SIGNALS = {
    SPEED: ("Motion", "Speed", 655.35),
    RANGE: ("Energy", "Range", 6553.5),
    BATTERY: ("Energy", "Battery", 127.5),
    FUEL: ("Energy", "Fuel", 127.5),
    OUTSIDE: ("Ambient", "OutsideTemperature", 87.5),
}
_FRESH_S = {"Motion": 1.0, "Energy": 5.0, "Ambient": 5.0, "Tyres": 10.0}
_PLAUSIBLE = {SPEED: (0, 350), RANGE: (0, 2500), BATTERY: (0, 100), FUEL: (0, 100), OUTSIDE: (-50, 70)}


class VehicleState(Protocol):
    """Values in km/h, km, percent, degrees Celsius, bar; None where the vehicle does not say, or says nonsense."""

    async def read(self, what: str) -> float | None: ...

    async def tyres(self) -> Mapping[str, float] | None: ...

    async def close(self) -> None: ...


class CanState:
    """From the bus."""

    def __init__(self, bus: CarBus) -> None:
        self._bus = bus

    async def read(self, what: str) -> float | None:
        name, signal, absent = _SIGNALS[what]
        values = await self._bus.report(name, within_s=_FRESH_S[name])
        if values is None or signal not in values or values[signal] >= absent:
            return None
        return plausible(what, float(values[signal]))

    async def tyres(self) -> Mapping[str, float] | None:
        values = await self._bus.report("Tyres", within_s=_FRESH_S["Tyres"])
        if values is None:
            return None
        return {wheel: float(values[signal]) for wheel, signal in WHEELS.items()}

    async def close(self) -> None:
        """The bus is closed by whoever opened it."""


def plausible(what: str, value: float) -> float | None:
    """The value, or None where no car can have it: better not known than wrong."""
    low, high = _PLAUSIBLE[what]
    return value if low <= value <= high else None

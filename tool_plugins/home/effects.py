"""The world that the home's scenarios act on: a Mosquitto of its own, and the simulated house on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from voice_needle.assembly import Tooling
from voice_needle.evaluation.mosquitto import Mosquitto

from .simulator import Simulator, slug


class World:
    """An effect is device -> keys of its true state; `unchanged: true`: every device is as it was at first."""

    def __init__(self, broker: Mosquitto, house: Simulator) -> None:
        self.settings = {"broker": broker.url, "answer_s": 0.6}
        self.broker, self.house = broker, house

    async def reset(self, tooling: Tooling) -> None:
        self.house.faults.clear()
        self.house.slow_s = 0.0
        await asyncio.to_thread(self.house.reset)

    async def prepare(self, wanted: Mapping[str, Any]) -> None:
        """wanted: faults (device -> fault), slow_s, state (device -> keys). Errors: ValueError."""
        for key, value in wanted.items():
            match key:
                case "faults":
                    self.house.faults.update(value)
                case "slow_s":
                    self.house.slow_s = float(value)
                case "state":
                    await asyncio.to_thread(self.house.reset, value)
                case _:
                    raise ValueError(f"the home's world has no {key}")

    def lamps_of(self, tool: str, arguments: Mapping[str, Any]) -> frozenset[str] | None:
        """The lamps that a call is to move, by the house's own list; None where the call is not about lamps or plugs."""
        room, device = arguments.get("room"), arguments.get("device")
        if tool == "device_switch" and device:
            return frozenset(name for name in self.house.real if slug(name) == device)
        if not tool.startswith("light_") or not room:
            return None
        return frozenset(lamp for lamp, place in self.house.lamps.items() if room in ("everywhere", place))

    async def check(self, effect: Mapping[str, Any], tooling: Tooling) -> str:
        wrong = []
        for name, wanted in effect.items():
            if name == "unchanged":
                wrong += [f"{device} is {state}" for device, state in self.house.changed().items()]
                continue
            real = self.house.real[name]
            wrong += [f"{name}: {key} is {real.get(key)!r}" for key, value in wanted.items() if real.get(key) != value]
        return "; ".join(wrong)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    with Mosquitto(folder) as broker, Simulator(broker.url) as house:
        yield World(broker, house)

"""The way and the car's own state by voice: waypoints, speed, range, battery, tyres, the temperature outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from voice_needle.errors import ToolFailed
from voice_needle.plugin import Context, Result

from .handlers import brief, bus_of, state_of
from .state import BATTERY, FUEL, OUTSIDE, RANGE, SPEED, WHEELS

_LOW_BAR = 2.2
_FILE = "waypoints.json"


# --- waypoints ---


def _places(ctx: Context) -> Mapping[str, Any]:
    """Place -> {"at": [latitude, longitude], "spoken": [...]}, from the settings."""
    return dict(ctx.settings["places"] or {})


def vocabulary(ctx: Context) -> dict[str, list[str]]:
    return {name: list(place.get("spoken") or [name.replace("_", " ")]) for name, place in _places(ctx).items()}


def _stored(ctx: Context) -> list[str]:
    file = ctx.data_dir / _FILE
    try:
        return list(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except ValueError:
        ctx.log.warning("%s was damaged and is started afresh", file)
        return []


def _store(ctx: Context, names: list[str]) -> None:
    file = ctx.data_dir / _FILE
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(names), encoding="utf-8")
    fresh.replace(file)


async def waypoint_add(ctx: Context, place: str) -> Result:
    known = _places(ctx)
    if place not in known:
        return Result.not_found(told=f"I do not know where {place.replace('_', ' ')} is.")
    latitude, longitude = (float(part) for part in known[place]["at"])

    def shown(values: Mapping[str, Any]) -> bool:
        return abs(values["Latitude"] - latitude) < 2e-5 and abs(values["Longitude"] - longitude) < 2e-5

    position = {"Action": 0, "Latitude": latitude, "Longitude": longitude}
    await bus_of(ctx).command("WaypointCommand", "WaypointStatus", position, done=shown)
    names = [*_stored(ctx), place]
    _store(ctx, names)
    return Result(waypoints=names)


async def waypoints_clear(ctx: Context) -> Result:
    had = _stored(ctx)
    await bus_of(ctx).command(
        "WaypointCommand", "WaypointStatus", {"Action": 1}, done=lambda values: values["Count"] == 0
    )
    _store(ctx, [])
    return Result(told="The route is clear." if had else "There was no waypoint.", cleared=len(had))


async def waypoints_list(ctx: Context) -> Result:
    spoken = vocabulary(ctx)
    names = [spoken.get(name, [name])[0] for name in _stored(ctx)]
    if not names:
        return Result(told="There is no waypoint.", waypoints=[])
    return Result(
        told=await brief(ctx, ["Next:", *[f"{name}," for name in names[:-1]], f"{names[-1]}."]), waypoints=names
    )


# --- the car's own state ---

_SENTENCES = {
    SPEED: lambda value: f"We are going {value:.0f} kilometres an hour." if value >= 0.5 else "We are standing still.",
    RANGE: lambda value: f"The range is {value:.0f} kilometres.",
    BATTERY: lambda value: f"The battery is at {value:.0f} percent.",
    FUEL: lambda value: f"The tank is at {value:.0f} percent.",
    OUTSIDE: lambda value: f"It is {value:g} degrees outside.",
}


async def _said(ctx: Context, what: str) -> Result | None:
    value = await state_of(ctx).read(what)
    return None if value is None else Result(value=round(value, 1), what=what, told=_SENTENCES[what](value))


async def _must(ctx: Context, what: str) -> Result:
    found = await _said(ctx, what)
    if found is None:
        name = what.replace("_", " ")
        raise ToolFailed(f"the vehicle does not report its {name}", spoken=f"The car does not tell me its {name}.")
    return found


async def vehicle_speed(ctx: Context) -> Result:
    return await _must(ctx, SPEED)


async def vehicle_range(ctx: Context) -> Result:
    return await _must(ctx, RANGE)


async def vehicle_energy(ctx: Context) -> Result:
    """The tank where there is one, else the battery: what moves this car."""
    return await _said(ctx, FUEL) or await _must(ctx, BATTERY)


async def outside_temperature(ctx: Context) -> Result:
    return await _must(ctx, OUTSIDE)


async def vehicle_status(ctx: Context) -> Result:
    parts = [found.values["told"] for what in (RANGE, BATTERY, FUEL, OUTSIDE) if (found := await _said(ctx, what))]
    pressures = await state_of(ctx).tyres()
    if pressures:
        parts.insert(0, _tyres(pressures))
    if not parts:
        raise ToolFailed("the vehicle reports nothing", spoken="The car does not answer.")
    return Result(told=await brief(ctx, parts))


def _tyres(pressures: Mapping[str, float]) -> str:
    low = {wheel: bar for wheel, bar in pressures.items() if bar < _LOW_BAR}
    if not low:
        return "All tyres are fine."
    wheels = " and ".join(f"{wheel.replace('_', ' ')} at {bar:.1f} bar" for wheel, bar in low.items())
    return f"Low tyre pressure: {wheels}."


async def tyre_pressure(ctx: Context, wheel: str = "all") -> Result:
    pressures = await state_of(ctx).tyres()
    if pressures is None:
        raise ToolFailed("the vehicle reports no tyre pressures", spoken="The car does not tell me its tyre pressures.")
    if wheel != "all":
        return Result(
            value=round(pressures[wheel], 1), told=f"The {wheel.replace('_', ' ')} tyre has {pressures[wheel]:.1f} bar."
        )
    each = [f"{name.replace('_', ' ')} {pressures[name]:.1f}" for name in WHEELS]
    return Result(told=await brief(ctx, [_tyres(pressures), f"In bar: {', '.join(each)}."]))

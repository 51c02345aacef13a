"""What can be asked of the home: each answer is read back from the devices now, as far as they can be asked."""

from __future__ import annotations

from collections.abc import Iterable

from voice_needle.errors import ToolFailed
from voice_needle.plugin import Context, Result

from . import speech
from .devices import Device, number
from .handlers import blinds_of, locks_of, ready
from .house import EVERYWHERE, House
from .outcome import spoken_name

_ON = ("light", "plug", "fan")


async def _fresh(house: House, devices: list[Device], *keys: str) -> list[Device]:
    """The devices that are there and have told one of `keys`. Errors: ToolFailed when none has."""
    await house.refresh(devices, keys)
    known = [device for device in devices if device.online and any(key in device.state for key in keys)]
    if not known:
        name = spoken_name(devices[0].name)
        raise ToolFailed(f"{name} has told nothing", spoken=f"The {name} does not answer, so I do not know.")
    return known


def _some(devices: list[Device], where: str) -> Result | None:
    return None if devices else Result.not_found(place=where)


async def what_is_on(ctx: Context, room: str) -> Result:
    """Lights, plugs and fans that report to be on."""
    house = await ready(ctx)
    devices = [device for device in house.select(_ON, room) if "on" in device.channels]
    if (nothing := _some(devices, speech.place(room))) is not None:
        return nothing
    known = await _fresh(house, devices, "on")
    names = [spoken_name(device.name) for device in known if device.state.get("on")]
    where = "" if room == EVERYWHERE else f" {speech.place(room)}"
    if not names:
        return Result(answer=f"Nothing is on{where}.", count=0)
    verb = "is" if len(names) == 1 else "are"
    return Result(answer=f"{speech.capital(speech.listing(names))} {verb} on{where}.", count=len(names))


async def light_state(ctx: Context, room: str) -> Result:
    house = await ready(ctx)
    lamps = [lamp for lamp in house.select("light", room) if "on" in lamp.channels]
    if (nothing := _some(lamps, speech.place(room))) is not None:
        return nothing
    known = await _fresh(house, lamps, "on")
    on = [lamp for lamp in known if lamp.state.get("on")]
    if len(on) not in (0, len(known)):
        names = speech.listing([spoken_name(lamp.name) for lamp in on])
        return Result(answer=f"{len(on)} of {len(known)} are on: {names}.")
    what = speech.subject("light", "lights", room, len(known))
    levels = {round(float(lamp.state["level"])) for lamp in on if "level" in lamp.state}
    bright = f", at {levels.pop()} percent" if len(levels) == 1 else ""
    return Result(answer=f"{what} on{bright}." if on else f"{what} off.")


async def device_state(ctx: Context, device: str) -> Result:
    house = await ready(ctx)
    found = house.named(device)
    if found is None:
        return Result.not_found()
    await _fresh(house, [found], "on")
    return Result(answer=f"The {spoken_name(found.name)} is {'on' if found.state.get('on') else 'off'}.")


async def temperature_read(ctx: Context, room: str) -> Result:
    return await _measured(ctx, room, "temperature", "degrees")


async def humidity_read(ctx: Context, room: str) -> Result:
    return await _measured(ctx, room, "humidity", "percent humidity")


async def _measured(ctx: Context, room: str, key: str, unit: str) -> Result:
    """The mean where several sensors tell; sensors of their own come before thermostats."""
    house = await ready(ctx)
    devices = house.select(("sensor",), room, key) or house.select(("climate",), room, key)
    if (nothing := _some(devices, speech.place(room))) is not None:
        return nothing
    values = _numbers(await _fresh(house, devices, key), key)
    if not values:
        raise ToolFailed(f"no {key}", spoken=f"The sensor {speech.place(room)} tells no {key}.")
    where = "in the house" if room == EVERYWHERE else speech.place(room)
    return Result(answer=f"It is {speech.said(sum(values) / len(values))} {unit} {where}.")


def _numbers(devices: Iterable[Device], key: str) -> list[float]:
    found = (number(device.state.get(key)) for device in devices)
    return [value for value in found if value is not None]


async def heating_state(ctx: Context, room: str) -> Result:
    house = await ready(ctx)
    devices = house.select("climate", room, "target")
    if (nothing := _some(devices, speech.place(room))) is not None:
        return nothing
    targets = set(_numbers(await _fresh(house, devices, "target"), "target"))
    degrees = " and ".join(speech.said(value) for value in sorted(targets))
    return Result(answer=f"The heating {speech.place(room)} is set to {degrees} degrees.")


async def cover_state(ctx: Context, room: str) -> Result:
    house = await ready(ctx)
    covers = [cover for cover in blinds_of(house, room) if "position" in cover.channels]
    if (nothing := _some(covers, speech.place(room))) is not None:
        return nothing
    positions = _numbers(await _fresh(house, covers, "position"), "position")
    at = sum(positions) / len(positions) if positions else 0
    how = "open" if at >= 98 else "closed" if at <= 2 else f"{speech.said(round(at))} percent open"
    return Result(answer=f"{speech.subject('blind', 'blinds', room, 2)} {how}.")


async def door_state(ctx: Context, door: str) -> Result:
    house = await ready(ctx)
    locks = locks_of(house, door)
    if (nothing := _some(locks, "")) is not None:
        return nothing
    known = await _fresh(house, locks, "locked")
    unlocked = [spoken_name(lock.name) for lock in known if not lock.state.get("locked")]
    if len(known) > 1:
        return Result(answer=f"Not locked: {', '.join(unlocked)}." if unlocked else "All the doors are locked.")
    return Result(answer=f"The {spoken_name(known[0].name)} is {'not locked' if unlocked else 'locked'}.")

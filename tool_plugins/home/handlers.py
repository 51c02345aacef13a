"""What each tool of the home does: choose the devices, change or read them, and tell what they said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from voice_needle.errors import ToolFailed, ToolRefused
from voice_needle.plugin import Context, Result

from . import speech
from .broker import Address, Broker
from .devices import Device, State, alike, number
from .house import Change, House, Link, device_value
from .outcome import NEVER_RESTORED, carried_out, common, spoken_name

_FIRST_LOOK_S = 1.5
_COLOURS = {
    "red": (0, 100), "orange": (30, 100), "yellow": (55, 100), "green": (120, 100), "turquoise": (170, 100), "blue": (230, 100),
    "purple": (275, 100), "pink": (325, 60),
}  # fmt: skip
_KELVIN = {"candle": 2000, "warm": 2700, "neutral": 4000, "cool": 5000, "daylight": 6500}
_SPEEDS = {"low": 33, "medium": 66, "high": 100}
_KINDS = {"light": "level", "cover": "position", "plug": "on"}


async def setup(ctx: Context) -> None:
    """Connect, and keep trying in the background where the broker is down: a call then says so at once."""
    settings = ctx.settings
    house = House(
        ctx.log,
        speech.declared_rooms(),
        settings.get("places") or {},
        z2m_base=str(settings.get("zigbee2mqtt_topic") or "zigbee2mqtt"),
        discovery_prefix=str(settings.get("discovery_prefix") or "homeassistant"),
        answer_s=float(settings.get("answer_s") or 2.5),
    )
    link = house.broker = _link(ctx, house)
    ctx.state["house"] = house
    await link.open()
    if await link.wait_up(_FIRST_LOOK_S):
        await link.probe()  # the announcements have arrived
        await link.probe()  # and the states of what they announced


def _link(ctx: Context, house: House) -> Link:
    """Home Assistant where its address is set, else the MQTT broker."""
    settings = ctx.settings
    if settings.get("home_assistant"):
        from .homeassistant import HomeAssistant

        return HomeAssistant(str(settings["home_assistant"]), str(settings.get("token") or ""), ctx.log, house)
    address = Address.parse(str(settings["broker"]))
    if settings.get("username"):
        password = str(settings.get("password") or "")
        address = Address(address.host, address.port, address.tls, str(settings["username"]), password)
    return Broker(address, ctx.log, house.message, house.connected)


async def teardown(ctx: Context) -> None:
    broker = the_house(ctx).broker
    if broker is not None:
        await broker.close()


async def vocabularies(ctx: Context) -> Mapping[str, Mapping[str, list[str]]]:
    """Rooms, devices, doors and scenes that were found."""
    house = the_house(ctx)
    return speech.found(house.devices, house.areas)


def the_house(ctx: Context) -> House:
    house: House = ctx.state["house"]
    return house


async def ready(ctx: Context) -> House:
    """The house, its broker answering. Errors: ToolUnreachable."""
    house = the_house(ctx)
    await house.ready()
    return house


def _named(house: House, value: str, *keys: str) -> Device | None:
    """A device by name. Errors: ToolRefused where it cannot do that."""
    device = house.named(value)
    if device is not None and not all(device.can(key) for key in keys):
        name = spoken_name(device.name)
        raise ToolRefused(f"{name} cannot set {keys}", spoken=f"The {name} cannot do that.")
    return device


def _able(house: House, kind: str, room: str, *keys: str) -> list[Device]:
    """The devices of a kind in a room that can set all of `keys`."""
    return [device for device in house.select(kind, room) if all(device.can(key) for key in keys)]


def _nothing(house: House, room: str) -> Result:
    return Result.not_found(place=speech.place(room))


async def _set_all(
    ctx: Context,
    kind: str,
    room: str,
    wanted: State,
    *,
    words: tuple[str, str] | None = None,
    nothing: Callable[[House, str], Result] = _nothing,
) -> Result:
    """Set all of a kind in a room that can do it. words: (one, several) to tell it with. nothing: where there is none."""
    house = await ready(ctx)
    found = _able(house, kind, room, *wanted)
    if not found:
        return nothing(house, room)
    what = {"what": speech.subject(*words, room, len(found))} if words else {}
    return await carried_out(house, [Change(device, dict(wanted)) for device in found], **what)


def _now(device: Device, key: str, unknown: str) -> float:
    """What it reports. Errors: ToolFailed, said as `unknown`, where it has not told."""
    now = number(device.state.get(key))
    if now is None:
        raise ToolFailed(f"{device.name} has not told its {key}", spoken=unknown)
    return now


async def _set_lights(ctx: Context, room: str, wanted: State) -> Result:
    return await _set_all(ctx, "light", room, wanted, words=("light", "lights"), nothing=_no_light)


def _no_light(house: House, room: str) -> Result:
    """Errors: ToolRefused where there are lamps, but none can do it."""
    if house.select("light", room):
        place = speech.place(room)
        raise ToolRefused(f"no light {place} can do that", spoken=f"No light {place} can do that.")
    return _nothing(house, room)


# --- lights ----------------------------------------------------------------------------------------------------------


async def light_switch(ctx: Context, room: str, state: str) -> Result:
    return await _set_lights(ctx, room, {"on": state == "on"})


async def light_level(ctx: Context, room: str, level: float) -> Result:
    return await _set_lights(ctx, room, {"on": True, "level": level} if level > 0 else {"on": False})


async def light_change(ctx: Context, room: str, direction: str, amount: float) -> Result:
    """From what each lamp reports now; a lamp that is off starts from nothing."""
    house = await ready(ctx)
    lamps = _able(house, "light", room, "level")
    if not lamps:
        return _no_light(house, room)
    await house.refresh(lamps, ["on", "level"])
    changes = []
    for lamp in lamps:
        now = float(lamp.state.get("level", 0)) if lamp.state.get("on") else 0.0
        if "on" not in lamp.state:
            raise ToolFailed(f"{lamp.name} has not told its level", spoken="I do not know how bright it is now.")
        if direction == "dimmer" and now == 0:
            continue
        level = min(100.0, now + amount) if direction == "brighter" else max(1.0, now - amount)
        changes.append(Change(lamp, {"on": True, "level": round(level)}))
    if not changes:
        raise ToolRefused("the lights are off", spoken="The light is off already.")
    what = speech.subject("light", "lights", room, len(changes))
    return await carried_out(house, changes, what=what, how=common(changes, "level", "at {} percent", direction))


async def light_colour(ctx: Context, room: str, colour: str) -> Result:
    return await _set_lights(ctx, room, {"on": True, "colour": _COLOURS[colour]})


async def light_white(ctx: Context, room: str, white: str) -> Result:
    return await _set_lights(ctx, room, {"on": True, "kelvin": _KELVIN[white]})


async def light_kelvin(ctx: Context, room: str, kelvin: int) -> Result:
    return await _set_lights(ctx, room, {"on": True, "kelvin": kelvin})


# --- devices by name -------------------------------------------------------------------------------------------------


async def device_switch(ctx: Context, device: str, state: str) -> Result:
    house = await ready(ctx)
    found = _named(house, device, "on")
    return await carried_out(house, [Change(found, {"on": state == "on"})]) if found else Result.not_found()


async def lamp_level(ctx: Context, device: str, level: float) -> Result:
    house = await ready(ctx)
    found = _named(house, device, "on", "level")
    wanted: State = {"on": True, "level": level} if level > 0 else {"on": False}
    return await carried_out(house, [Change(found, wanted)]) if found else Result.not_found()


# --- heating ---------------------------------------------------------------------------------------------------------


async def heating_set(ctx: Context, room: str, temperature: float) -> Result:
    return await _set_all(ctx, "climate", room, {"target": temperature})


async def heating_change(ctx: Context, room: str, direction: str, amount: float) -> Result:
    house = await ready(ctx)
    found = _able(house, "climate", room, "target")
    if not found:
        return _nothing(house, room)
    await house.refresh(found, ["target"])
    changes = []
    for device in found:
        now = _now(device, "target", "I do not know what the heating is set to.")
        target = now + amount if direction == "warmer" else now - amount
        if not 5 <= target <= 30:
            raise ToolRefused(
                f"{target} is out of range", spoken=f"It is at {speech.said(now)} degrees; I can set 5 to 30."
            )
        changes.append(Change(device, {"target": target}))
    return await carried_out(house, changes, how=common(changes, "target", "set to {} degrees", direction))


async def heating_switch(ctx: Context, room: str, state: str) -> Result:
    return await _set_all(ctx, "climate", room, {"heat": state == "on"})


# --- covers, doors ---------------------------------------------------------------------------------------------------


def blinds_of(house: House, room: str) -> list[Device]:
    return [cover for cover in house.select("cover", room) if cover.device_class not in ("garage", "gate", "door")]


def _move(cover: Device, action: str) -> Change:
    """A blind takes longer than anybody waits: it counts when it is there, or is on its way."""
    goal = {"open": 100, "close": 0}.get(action)

    def under_way(before: State, seen: State) -> bool:
        at = seen.get("position")
        if goal is None or alike("position", at, goal):
            return at is not None
        was = before.get("position")
        return was is not None and at is not None and abs(at - goal) < abs(was - goal)

    by_position = goal is not None and not cover.can("move")
    wanted: State = {"position": goal} if by_position else {"move": action}
    return Change(cover, wanted, expect={"position": goal}, judge=under_way)


async def cover_move(ctx: Context, room: str, action: str) -> Result:
    house = await ready(ctx)
    covers = blinds_of(house, room)
    if not covers:
        return _nothing(house, room)
    what = speech.subject("blind", "blinds", room, 2)
    said = {"open": "opening", "close": "closing", "stop": "stopped"}[action]
    changes = [_move(cover, action) for cover in covers]
    result = await carried_out(house, changes, what=what, how=said)
    there = {"open": 100, "close": 0}.get(action)
    if there is not None and all(alike("position", c.device.state.get("position"), there) for c in changes):
        result.values["how"] = {"open": "open", "close": "closed"}[action]
    return result


async def cover_position(ctx: Context, room: str, position: float) -> Result:
    house = await ready(ctx)
    covers = [cover for cover in blinds_of(house, room) if cover.can("position")]
    if not covers:
        return _nothing(house, room)
    what = speech.subject("blind", "blinds", room, 2)
    return await carried_out(house, [Change(cover, {"position": position}) for cover in covers], what=what)


async def garage_door(ctx: Context, action: str) -> Result:
    house = await ready(ctx)
    doors = [cover for cover in house.select("cover") if cover.device_class in ("garage", "gate")]
    if not doors:
        return Result.not_found()
    return await carried_out(house, [_move(door, action) for door in doors])


async def lock_door(ctx: Context, door: str) -> Result:
    return await _lock(ctx, door, True)


async def unlock_door(ctx: Context, door: str) -> Result:
    return await _lock(ctx, door, False)


async def _lock(ctx: Context, door: str, locked: bool) -> Result:
    house = await ready(ctx)
    locks = locks_of(house, door)
    if not locks:
        return Result.not_found()
    return await carried_out(house, [Change(lock, {"locked": locked}) for lock in locks])


def locks_of(house: House, door: str) -> list[Device]:
    return [
        lock
        for lock in house.select("lock")
        if door == "all_doors" or device_value(lock).removesuffix("_lock") == door.removesuffix("_lock")
    ]


# --- scenes, fans, vacuum, music -------------------------------------------------------------------------------------


async def scene_activate(ctx: Context, scene: str) -> Result:
    """A scene that was announced, else one of the settings. The first is known to have worked when any lamp reports."""
    house = await ready(ctx)
    announced = next((device for device in house.select("scene") if device_value(device) == scene), None)
    if announced is not None:
        return Result(reports=await house.fire(announced, {"scene": scene}))
    changes = []
    for room, kinds in ((ctx.settings.get("scenes") or {}).get(scene) or {}).items():
        for kind, value in kinds.items():
            key = _KINDS.get(kind, "on")
            devices = blinds_of(house, room) if kind == "cover" else house.select(kind, room)
            wanted: State = {key: value}
            if kind == "light":
                wanted = {"on": True, "level": value} if value else {"on": False}
            changes += [Change(device, dict(wanted)) for device in devices if all(device.can(k) for k in wanted)]
    return await carried_out(house, changes) if changes else Result.not_found()


async def fan_switch(ctx: Context, room: str, state: str) -> Result:
    return await _set_all(ctx, "fan", room, {"on": state == "on"}, words=("fan", "fans"))


async def fan_speed(ctx: Context, room: str, speed: str) -> Result:
    return await _set_all(ctx, "fan", room, {"on": True, "speed": _SPEEDS[speed]}, words=("fan", "fans"))


async def vacuum_control(ctx: Context, action: str) -> Result:
    house = await ready(ctx)
    vacuums = house.select("vacuum")
    if not vacuums:
        return Result.not_found()
    how = {"start": "cleaning", "stop": "stopped", "pause": "paused", "dock": "on its way to the dock"}[action]
    return await carried_out(house, [Change(vacuum, {"activity": action}) for vacuum in vacuums], how=how)


async def music_control(ctx: Context, room: str, action: str) -> Result:
    house = await ready(ctx)
    players = _able(house, "media", room, "playback")
    if not players:
        return _nothing(house, room)
    expect = {"playback": "play" if action in ("next", "previous") else action}
    how = {"play": "Playing", "pause": "Paused", "stop": "Stopped", "next": "Next one", "previous": "Back one"}[action]
    changes = [Change(player, {"playback": action}, expect=expect) for player in players]
    return await carried_out(house, changes, how=how)


async def music_volume(ctx: Context, room: str, volume: float) -> Result:
    return await _set_all(ctx, "media", room, {"volume": volume})


async def music_volume_change(ctx: Context, room: str, direction: str, amount: float) -> Result:
    house = await ready(ctx)
    players = _able(house, "media", room, "volume")
    if not players:
        return _nothing(house, room)
    changes = []
    for player in players:
        now = _now(player, "volume", "I do not know how loud it is now.")
        volume = min(100.0, now + amount) if direction == "louder" else max(0.0, now - amount)
        changes.append(Change(player, {"volume": round(volume)}))
    return await carried_out(house, changes, how=common(changes, "volume", "{} percent", direction))


# --- taking back -----------------------------------------------------------------------------------------------------


async def home_restore(ctx: Context, snapshot: str) -> Result:
    """Put devices back as a snapshot of ours says. Never a lock: that asks first, by its own tool."""
    house = await ready(ctx)
    known = {device.id: device for device in house.devices}
    changes = []
    for key, state in json.loads(snapshot).items():
        device = known.get(key)
        if device is None or device.kind in NEVER_RESTORED or device.device_class in ("garage", "gate"):
            continue
        kept = {name: tuple(value) if isinstance(value, list) else value for name, value in state.items()}
        if kept.get("on") is False:  # a brightness would switch it on again
            kept = {"on": False}
        changes.append(Change(device, kept))
    return await carried_out(house, changes) if changes else Result.not_found()

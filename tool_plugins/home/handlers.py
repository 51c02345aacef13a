"""What each tool of the home does: choose the devices, change or read them, and tell what they said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voice_needle.plugin import Context, Result

from . import speech
from .broker import Address, Broker
from .devices import State
from .house import EVERYWHERE, Change, House
from .outcome import carried_out

_FIRST_LOOK_S = 1.5


async def setup(ctx: Context) -> None:
    """Connect, and keep trying in the background where the broker is down: a call then says so at once."""
    settings = ctx.settings
    house = House(
        ctx.log,
        ctx.state.get("rooms") or speech.declared_rooms(),
        settings.get("places") or {},
        z2m_base=str(settings.get("zigbee2mqtt_topic") or "zigbee2mqtt"),
        discovery_prefix=str(settings.get("discovery_prefix") or "homeassistant"),
        answer_s=float(settings.get("answer_s") or 2.5),
    )
    address = Address.parse(str(settings["broker"]))
    if settings.get("username"):
        password = str(settings.get("password") or "")
        address = Address(address.host, address.port, address.tls, str(settings["username"]), password)
    broker = Broker(address, ctx.log, house.message, house.connected)
    house.broker = broker
    ctx.state["house"] = house
    await broker.open()
    if await broker.wait_up(_FIRST_LOOK_S):
        await broker.probe()  # the announcements have arrived
        await broker.probe()  # and the states of what they announced


async def teardown(ctx: Context) -> None:
    broker = _house(ctx).broker
    if broker is not None:
        await broker.close()


async def vocabularies(ctx: Context) -> Mapping[str, Mapping[str, list[str]]]:
    """Rooms and devices that were found."""
    return speech.found(_house(ctx).devices)


def _house(ctx: Context) -> House:
    house: House = ctx.state["house"]
    return house


async def _all(ctx: Context, kind: str | tuple[str, ...], room: str, wanted: State, **values: Any) -> Result:
    """Make every device of a kind in a room so."""
    house = _house(ctx)
    await house.ready()
    devices = [d for d in house.select(kind, room) if all(d.can(key) for key in wanted)]
    if not devices:
        return Result.not_found()
    return await carried_out(house, [Change(device, dict(wanted)) for device in devices], **values)


# --- lights ----------------------------------------------------------------------------------------------------------


async def light_switch(ctx: Context, room: str, state: str) -> Result:
    return await _all(ctx, "light", room, {"on": state == "on"}, place=speech.place(room))

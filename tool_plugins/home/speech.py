"""How the home is spoken of: rooms and devices as vocabularies, and the phrases that name them in an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from .devices import Device, number
from .house import EVERYWHERE, device_value, plain

_KIND_WORDS = {
    "light": ("light", "lights", "lamp", "lamps"),
    "cover": ("blind", "blinds", "curtain", "curtains", "shutter", "shutters", "shade", "shades"),
    "climate": ("thermostat", "heating", "radiator"),
    "fan": ("fan",),
}
_SWITCHED = ("light", "plug", "fan")
_LISTED = 3  # more names than this are counted instead


def declared_rooms() -> dict[str, tuple[str, ...]]:
    """The rooms of plugin.yaml with their spoken forms."""
    document = yaml.safe_load((Path(__file__).parent / "plugin.yaml").read_text(encoding="utf-8"))
    rooms = document["vocabularies"]["room"]
    return {str(value): tuple(forms or [value.replace("_", " ")]) for value, forms in rooms.items()}


def found(devices: Iterable[Device], areas: Mapping[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    """Vocabulary -> value -> spoken forms, for what was found. areas: rooms with the names that Home Assistant has for them."""
    rooms: dict[str, list[str]] = {room: list(forms) for room, forms in areas.items()}
    names: dict[str, list[str]] = {}
    doors: dict[str, list[str]] = {}
    scenes: dict[str, list[str]] = {}
    known = declared_rooms()
    for device in devices:
        if device.room and device.room not in known and device.room not in rooms:
            rooms[device.room] = [device.room.replace("_", " ")]
        said = spoken_forms(device)
        if said and device.kind in _SWITCHED and not says_room_and_kind(device, known):
            names[device_value(device)] = said
        elif said and device.kind == "lock":
            doors[device_value(device)] = said
        elif said and device.kind == "scene":
            scenes[device_value(device)] = said
    return {"room": rooms, "device": names, "door": doors, "scene": scenes}


def spoken_forms(device: Device) -> list[str]:
    """What a device is called aloud: its name's words; nothing where the name is only an address."""
    words = plain(device.name)
    if not words or re.fullmatch(r"0x[0-9a-f]+|[0-9 ]+", words):
        return list(device.aliases)
    if device.kind == "lock" and words.endswith(" lock"):
        return [words.removesuffix(" lock"), words, *device.aliases]
    return [words, *device.aliases]


def says_room_and_kind(device: Device, rooms: Mapping[str, Iterable[str]]) -> bool:
    """ "kitchen light" needs no name of its own: the room and the kind say it."""
    words = plain(device.name).split()
    forms = {plain(form) for said in rooms.values() for form in said} | {device.room.replace("_", " ")}
    kinds = _KIND_WORDS.get(device.kind, ())
    return bool(words) and words[-1] in kinds and (" ".join(words[:-1]) in forms or len(words) == 1)


# --- phrases ---------------------------------------------------------------------------------------------------------


def room_name(room: str) -> str:
    return room.replace("_", " ")


def place(room: str) -> str:
    """ "in the kitchen", "anywhere"."""
    return "anywhere" if room == EVERYWHERE else f"in the {room_name(room)}"


def subject(one: str, several: str, room: str, count: int) -> str:
    """ "The kitchen light is", "The kitchen lights are", "All the lights are"."""
    if room == EVERYWHERE:
        return f"All the {several} are" if count > 1 else f"The {one} is"
    return f"The {room_name(room)} {one} is" if count == 1 else f"The {room_name(room)} {several} are"


def listing(names: list[str]) -> str:
    """ "the floor lamp and the heater"; a number of them where they are many."""
    if len(names) > _LISTED:
        return f"{len(names)} things"
    said = [f"the {name}" for name in names]
    return said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def said(value: object) -> str:
    """A number without needless places; anything else as it is."""
    found = number(value)
    return str(value) if found is None else f"{round(found, 1):g}"

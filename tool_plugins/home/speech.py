"""How the home is spoken of: rooms and devices as vocabularies, and the phrases that name them in an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from .devices import Device
from .house import EVERYWHERE, device_value, plain

_KIND_WORDS = {
    "light": ("light", "lights", "lamp", "lamps"),
    "cover": ("blind", "blinds", "curtain", "curtains", "shutter", "shutters", "shade", "shades"),
    "climate": ("thermostat", "heating", "radiator", "heater"),
    "fan": ("fan",),
}
_NAMED = ("light", "plug", "cover", "fan", "climate")


def declared_rooms() -> dict[str, tuple[str, ...]]:
    """The rooms of plugin.yaml with their spoken forms."""
    document = yaml.safe_load((Path(__file__).parent / "plugin.yaml").read_text(encoding="utf-8"))
    rooms = document["vocabularies"]["room"]
    return {value: tuple(forms or [value.replace("_", " ")]) for value, forms in rooms.items()}


def found(devices: Iterable[Device]) -> dict[str, dict[str, list[str]]]:
    """Vocabulary -> value -> spoken forms, for rooms and devices that were found."""
    rooms: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    doors: dict[str, list[str]] = {}
    scenes: dict[str, list[str]] = {}
    devices = list(devices)
    known = declared_rooms()
    for device in devices:
        if device.room and device.room not in known:
            rooms[device.room] = [device.room.replace("_", " ")]
    for device in devices:
        said = spoken_forms(device)
        if not said:
            continue
        if device.kind in _NAMED and not _is_room_and_kind(device, known):
            names[device_value(device)] = said
        elif device.kind == "lock":
            doors[device_value(device)] = said
        elif device.kind == "scene":
            scenes[device_value(device)] = said
    return {"room": rooms, "device": names, "door": doors, "scene": scenes}


def spoken_forms(device: Device) -> list[str]:
    """What a device is called aloud: its name's words; nothing where the name is only an address."""
    words = plain(device.name)
    if not words or re.fullmatch(r"0x[0-9a-f]+|[0-9 ]+", words):
        return []
    if device.kind == "lock" and words.endswith(" lock"):
        return [words.removesuffix(" lock"), words]
    return [words]


def _is_room_and_kind(device: Device, rooms: Mapping[str, Iterable[str]]) -> bool:
    """ "kitchen light" needs no name of its own: the room and the kind say it."""
    words = plain(device.name).split()
    forms = {plain(form) for value, said in rooms.items() for form in said} | {device.room.replace("_", " ")}
    kinds = _KIND_WORDS.get(device.kind, ())
    return bool(words) and words[-1] in kinds and (" ".join(words[:-1]) in forms or len(words) == 1)


def place(room: str) -> str:
    """ "in the kitchen", "everywhere"."""
    return EVERYWHERE if room == EVERYWHERE else f"in the {room.replace('_', ' ')}"

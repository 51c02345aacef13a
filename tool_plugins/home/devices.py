"""What a device is, whatever convention it speaks: a kind, a room, abilities, a state in plain units, and its messages.

State and changes use the same keys: on (bool), level, position, speed, volume (0 to 100), colour (hue 0 to 360, saturation 0
to 100), kelvin, target and temperature (celsius), humidity, locked (bool), mode, activity (vacuum), playback (media).
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

State = dict[str, Any]
_TOLERANCE = {"level": 1.5, "position": 2.0, "speed": 5.0, "volume": 1.5, "target": 0.26, "kelvin": 120.0}


@dataclass(frozen=True)
class Channel:
    """One ability of a device on the wire.

    encode: value -> (topic, payload), None where it can only be read. decode: payload -> value, or None where the payload
    does not tell. ask: (topic, payload) that makes the device report, where it can be asked.
    """

    state_topic: str = ""
    encode: Callable[[Any], tuple[str, str]] | None = None
    decode: Callable[[bytes], Any] | None = None
    ask: tuple[str, str] | None = None


@dataclass
class Device:
    """One lamp, plug, thermostat, blind, lock, fan, vacuum, player, scene or sensor, with what it last reported."""

    id: str
    name: str
    kind: str  # light plug climate cover lock fan vacuum media scene sensor binary
    room: str = ""  # a value of the room vocabulary; "" where nobody said
    device_class: str = ""  # of covers and sensors: blind, curtain, garage, temperature, ...
    convention: str = ""
    channels: dict[str, Channel] = field(default_factory=dict)
    availability: Mapping[str, tuple[bytes, bytes]] = field(default_factory=dict)  # topic -> (online, offline)
    aliases: tuple[str, ...] = ()  # other names it goes by
    same_as: frozenset[str] = frozenset()  # other names of the same thing, by which doubles are found
    state: State = field(default_factory=dict)
    online: bool = True

    def can(self, key: str) -> bool:
        """Whether `key` can be set."""
        channel = self.channels.get(key)
        return channel is not None and channel.encode is not None

    def confirms(self, key: str) -> bool:
        """Whether the device reports `key` at all."""
        channel = self.channels.get(key)
        return channel is not None and bool(channel.state_topic)

    def topics(self) -> set[str]:
        """What to subscribe to."""
        states = {channel.state_topic for channel in self.channels.values() if channel.state_topic}
        return states | set(self.availability)

    def commands(self, change: State) -> list[tuple[str, str]]:
        """The messages that ask for `change`; several JSON objects for one topic become one message."""
        merged: dict[str, Any] = {}
        for key, value in change.items():
            encode = self.channels[key].encode
            assert encode is not None
            topic, payload = encode(value)
            before = merged.get(topic)
            parsed = _object(payload.encode())
            merged[topic] = {**before, **parsed} if isinstance(before, dict) and parsed else (parsed or payload)
        return [(t, json.dumps(p) if isinstance(p, dict) else p) for t, p in merged.items()]

    def questions(self, keys: Iterable[str]) -> list[tuple[str, str]]:
        """The messages that make the device report these keys."""
        asked: dict[str, dict[str, Any]] = {}
        for key in keys:
            channel = self.channels.get(key)
            if channel is not None and channel.ask is not None:
                asked.setdefault(channel.ask[0], {}).update(json.loads(channel.ask[1]))
        return [(topic, json.dumps(payload)) for topic, payload in asked.items()]

    def read(self, topic: str, payload: bytes) -> State:
        """What a message of this device reports; also kept as its state. Garbage reports nothing."""
        if topic in self.availability:
            self.online = self._available(topic, payload, self.online)
            return {}
        told: State = {}
        for key, channel in self.channels.items():
            if channel.state_topic == topic and channel.decode is not None:
                value = channel.decode(payload)
                if value is not None:
                    told[key] = value
        self.state.update(told)
        return told

    def _available(self, topic: str, payload: bytes, before: bool) -> bool:
        online, offline = self.availability[topic]
        said = str(_object(payload).get("state", "")).encode() or payload
        return True if said == online else False if said == offline else before


def fits(wanted: State, told: State) -> bool:
    """Whether every wanted value was told, within what a device rounds to."""
    return all(key in told and alike(key, value, told[key]) for key, value in wanted.items())


def alike(key: str, a: Any, b: Any) -> bool:
    if key == "colour":
        apart = abs(a[0] - b[0]) % 360
        return min(apart, 360 - apart) <= 12 and abs(a[1] - b[1]) <= 15
    if key in _TOLERANCE and isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= _TOLERANCE[key]
    return bool(a == b)


# --- payloads --------------------------------------------------------------------------------------------------------


def _object(payload: bytes) -> dict[str, Any]:
    found = parse(payload)
    return found if isinstance(found, dict) else {}


def parse(payload: bytes) -> Any:
    """The JSON in a payload; None when it is none."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def number(value: Any) -> float | None:
    """A finite number, also from text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def neat(value: float) -> float | int:
    """Two decimals at most, whole where it is whole: what a voice says well."""
    value = round(value, 2)
    return int(value) if value == int(value) else value


def hue_saturation(colour: Any) -> tuple[float, float] | None:
    """(hue 0 to 360, saturation 0 to 100) of a reported colour: {hue, saturation}, {h, s}, {r, g, b} or {x, y}."""
    if not isinstance(colour, Mapping):
        return None
    for hue, saturation in (("hue", "saturation"), ("h", "s")):
        h, s = number(colour.get(hue)), number(colour.get(saturation))
        if h is not None and s is not None:
            return h % 360, s
    rgb = [number(colour.get(part)) for part in ("r", "g", "b")]
    if None not in rgb:
        return _from_rgb(*[part or 0.0 for part in rgb])
    x, y = number(colour.get("x")), number(colour.get("y"))
    return _from_xy(x, y) if x is not None and y is not None and y > 0 else None


def _from_rgb(red: float, green: float, blue: float) -> tuple[float, float]:
    top = max(red, green, blue, 1e-9)
    h, s, _ = colorsys.rgb_to_hsv(red / top, green / top, blue / top)
    return h * 360, s * 100


def _from_xy(x: float, y: float) -> tuple[float, float]:
    """CIE 1931 chromaticity through linear sRGB (IEC 61966-2-1 matrix), brightness put aside."""
    big_x, big_z = x / y, (1 - x - y) / y
    linear = (
        3.2406 * big_x - 1.5372 - 0.4986 * big_z,
        -0.9689 * big_x + 1.8758 + 0.0415 * big_z,
        0.0557 * big_x - 0.2040 + 1.0570 * big_z,
    )
    top = max(*linear, 1e-9)
    scaled = [max(0.0, part / top) for part in linear]
    return _from_rgb(*[12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in scaled])

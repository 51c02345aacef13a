"""zigbee2mqtt's topics: bridge/devices says what each device can do, NAME/set changes it, NAME/get asks it, NAME tells its state.

https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html and .../exposes.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .devices import Channel, Device, hue_saturation, neat, number, parse

_GET = 0b100  # the bit of `access` that says a property can be asked for
_SET = 0b010
_KINDS = {"light": "light", "switch": "plug", "climate": "climate", "cover": "cover", "lock": "lock", "fan": "fan"}
_SENSORS = {"temperature", "humidity"}
_BINARY = {"contact": ("open", True), "occupancy": ("occupancy", False)}  # contact: true means closed
_FAN_MODES = {"off": 0, "low": 33, "medium": 66, "high": 100, "on": 100}


def is_device_list(topic: str, base: str) -> bool:
    return topic == f"{base}/bridge/devices"


def read_devices(payload: bytes, base: str) -> list[Device] | None:
    """The devices in a bridge/devices message; None when it is not one, so that garbage takes nothing away."""
    listed = parse(payload)
    if not isinstance(listed, list):
        return None
    found = (_device(entry, base) for entry in listed if isinstance(entry, Mapping))
    return [device for device in found if device is not None]


def _device(entry: Mapping[str, Any], base: str) -> Device | None:
    name, definition = entry.get("friendly_name"), entry.get("definition")
    if entry.get("type") == "Coordinator" or not isinstance(name, str) or not isinstance(definition, Mapping):
        return None
    if entry.get("disabled"):
        return None
    address = str(entry.get("ieee_address", name))
    described = str(entry.get("description") or "")
    device = Device(f"z2m:{address}", name, "", convention="zigbee2mqtt", same_as=frozenset({f"zigbee2mqtt_{address}"}))
    device.room = described  # a hint; the house finds the room in it, or in the name
    device.availability = {f"{base}/{name}/availability": (b"online", b"offline")}
    for exposed in definition.get("exposes") or ():
        if isinstance(exposed, Mapping):
            _take(device, exposed, f"{base}/{name}")
    return device if device.kind else None


def _take(device: Device, exposed: Mapping[str, Any], topic: str) -> None:
    kind = _KINDS.get(str(exposed.get("type")))
    features = exposed.get("features")
    if kind and isinstance(features, list):
        device.kind = kind
        for feature in features:
            if isinstance(feature, Mapping):
                _feature(device, kind, feature, topic)
        return
    name = str(exposed.get("property") or exposed.get("name") or "")
    if name in _SENSORS:
        device.kind = device.kind or "sensor"
        device.channels.setdefault(name, _channel(topic, name, exposed, None, _plain_number))
    elif name in _BINARY:
        key, inverted = _BINARY[name]
        device.kind = device.kind or "binary"
        on = exposed.get("value_on", True)
        device.channels[key] = _channel(
            topic, name, exposed, None, _boolean(on, exposed.get("value_off", False), inverted)
        )


def _feature(device: Device, kind: str, feature: Mapping[str, Any], topic: str) -> None:
    name = str(feature.get("name", ""))
    prop = str(feature.get("property") or name)
    if name == "state" and kind == "cover":
        device.channels["move"] = _channel(
            topic, prop, feature, lambda v: {"open": "OPEN", "close": "CLOSE", "stop": "STOP"}[v], None
        )
    elif name == "state":
        on, off = feature.get("value_on", "ON"), feature.get("value_off", "OFF")
        key = "locked" if kind == "lock" else "on"
        device.channels[key] = _channel(topic, prop, feature, lambda v: on if v else off, _boolean(on, off))
    elif name == "brightness":
        top = number(feature.get("value_max")) or 254.0
        device.channels["level"] = _channel(topic, prop, feature, lambda v: round(v * top / 100), _scaled(top))
    elif name == "color_temp":
        device.channels["kelvin"] = _channel(topic, prop, feature, lambda v: round(1e6 / v), _mired)
    elif name in ("color_hs", "color_xy"):
        colour = lambda v: {"hue": round(v[0]), "saturation": round(v[1])}  # noqa: E731
        device.channels["colour"] = _channel(topic, prop, feature, colour, hue_saturation)
    elif name == "position":
        device.channels["position"] = _channel(topic, prop, feature, round, _scaled(100.0))
    elif name in ("occupied_heating_setpoint", "current_heating_setpoint"):
        device.channels["target"] = _channel(topic, prop, feature, lambda v: v, _plain_number)
    elif name == "system_mode" and "heat" in (feature.get("values") or ()):
        device.channels["heat"] = _channel(topic, prop, feature, lambda v: "heat" if v else "off", _heats)
    elif name == "local_temperature":
        device.channels["temperature"] = _channel(topic, prop, feature, None, _plain_number)
    elif name == "mode" and kind == "fan":
        device.channels["speed"] = _channel(topic, prop, feature, _nearest_mode(feature.get("values")), _mode_speed)


def _channel(
    topic: str,
    prop: str,
    feature: Mapping[str, Any],
    encode: Callable[[Any], Any] | None,
    decode: Callable[[Any], Any] | None,
) -> Channel:
    """encode and decode work on the property's own value; here they are wrapped into the JSON object."""
    access = feature.get("access")
    access = access if isinstance(access, int) else _SET | _GET | 1

    def read(payload: bytes) -> Any:
        told = parse(payload)
        return decode(told[prop]) if decode and isinstance(told, Mapping) and prop in told else None

    def write(value: Any) -> tuple[str, str]:
        assert encode is not None
        return f"{topic}/set", json.dumps({prop: encode(value)})

    ask = (f"{topic}/get", json.dumps({prop: ""})) if access & _GET else None
    return Channel(topic if decode else "", write if encode and access & _SET else None, read, ask)


def _boolean(on: Any, off: Any, inverted: bool = False) -> Callable[[Any], Any]:
    return lambda value: (not inverted) if value == on else inverted if value == off else None


def _plain_number(value: Any) -> Any:
    found = number(value)
    return None if found is None else neat(found)


def _scaled(top: float) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        found = number(value)
        return None if found is None else neat(round(found * 100 / top, 1))

    return read


def _heats(value: Any) -> Any:
    return None if not isinstance(value, str) else value != "off"


def _mired(value: Any) -> Any:
    found = number(value)
    return round(1e6 / found) if found and found > 0 else None


def _mode_speed(value: Any) -> Any:
    return _FAN_MODES.get(str(value).lower())


def _nearest_mode(values: Iterable[Any] | None) -> Callable[[Any], Any]:
    modes = [str(v) for v in values or ("off", "low", "medium", "high") if str(v).lower() in _FAN_MODES and v != "on"]
    return lambda percent: min(modes, key=lambda mode: abs(_FAN_MODES[mode.lower()] - percent))

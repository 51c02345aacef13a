"""Home Assistant's entities as devices: which area they are in, what they can do, what their states mean, which service does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .devices import Channel, Device, State, neat, number, parse

_KINDS = {
    "light": "light", "switch": "plug", "input_boolean": "plug", "climate": "climate", "cover": "cover", "lock": "lock",
    "fan": "fan", "vacuum": "vacuum", "media_player": "media", "scene": "scene", "sensor": "sensor", "binary_sensor": "binary",
}  # fmt: skip
_VACUUM = {"start": "start", "stop": "stop", "pause": "pause", "dock": "return_to_base"}
_VACUUM_STATES = {"cleaning": "start", "docked": "dock", "returning": "dock", "paused": "pause", "idle": "stop"}
_PLAYER = {
    "play": "media_play", "pause": "media_pause", "stop": "media_stop", "next": "media_next_track",
    "previous": "media_previous_track",
}  # fmt: skip
_PLAYER_STATES = {"playing": "play", "paused": "pause", "idle": "stop", "off": "stop"}
Picked = Callable[[str, Mapping[str, Any]], Any]  # (state, attributes) -> value or None
Sent = Callable[[Any], tuple[str, State]]  # value -> (service, its data)


class Entities:
    """The registries of one Home Assistant. rooms: area -> how it is called, aliases included."""

    def __init__(
        self,
        areas: Sequence[Mapping[str, Any]],
        devices: Sequence[Mapping[str, Any]],
        entities: Sequence[Mapping[str, Any]],
    ) -> None:
        self.rooms = {
            str(a["area_id"]): [str(a["name"]).lower(), *map(str.lower, a.get("aliases") or ())] for a in areas
        }
        self._device_area = {str(d["id"]): str(d.get("area_id") or "") for d in devices}
        self._entries = {str(e["entity_id"]): e for e in entities}

    def device(self, state: Mapping[str, Any]) -> Device | None:
        """The device for a state, None for hidden ones and for what no tool is for."""
        entity = str(state.get("entity_id"))
        domain = entity.partition(".")[0]
        entry = self._entries.get(entity, {})
        attributes = state.get("attributes") or {}
        if domain not in _KINDS or entry.get("hidden_by") or entry.get("disabled_by") or entry.get("entity_category"):
            return None
        device = Device(f"hass:{entity}", str(attributes.get("friendly_name") or entity), _KINDS[domain])
        device.convention = "discovery"
        device.room = str(entry.get("area_id") or self._device_area.get(str(entry.get("device_id")), "") or "")
        device.device_class = str(attributes.get("device_class") or "")
        device.aliases = tuple(str(alias).lower() for alias in entry.get("aliases") or ())
        device.channels = _channels(domain, entity, attributes)
        return device if device.channels else None


def _channels(domain: str, entity: str, attributes: Mapping[str, Any]) -> dict[str, Channel]:
    def channel(pick: Picked | None, send: Sent | None) -> Channel:
        def read(payload: bytes) -> Any:
            told = parse(payload)
            if not isinstance(told, Mapping) or told.get("state") in ("unavailable", "unknown") or pick is None:
                return None
            return pick(str(told.get("state")), told.get("attributes") or {})

        def write(value: Any) -> tuple[str, str]:
            assert send is not None
            service, data = send(value)
            return f"{domain}/{service}", json.dumps({"entity_id": entity, **data})

        return Channel(f"hass/{entity}" if pick else "", write if send else None, read)

    def attribute(key: str, scale: float = 1.0) -> Picked:
        def pick(state: str, told: Mapping[str, Any]) -> Any:
            found = number(told.get(key))
            return None if found is None else neat(round(found * scale, 1))

        return pick

    switch = channel(
        lambda state, told: {"on": True, "off": False}.get(state), lambda on: (f"turn_{'on' if on else 'off'}", {})
    )
    match domain:
        case "light":
            return _light(attributes, channel, attribute, switch)
        case "switch" | "input_boolean":
            return {"on": switch}
        case "fan":
            speed = channel(attribute("percentage"), lambda v: ("set_percentage", {"percentage": round(v)}))
            return {"on": switch, "speed": speed} if "percentage" in attributes else {"on": switch}
        case "climate":
            return {
                "target": channel(attribute("temperature"), lambda v: ("set_temperature", {"temperature": v})),
                "temperature": channel(attribute("current_temperature"), None),
                "heat": channel(
                    lambda state, told: state != "off",
                    lambda v: ("set_hvac_mode", {"hvac_mode": "heat" if v else "off"}),
                ),
            }
        case "cover":
            return _cover(attributes, channel)
        case "lock":
            told = {"locked": True, "unlocked": False}
            return {"locked": channel(lambda state, _: told.get(state), lambda v: ("lock" if v else "unlock", {}))}
        case "vacuum":
            return {"activity": channel(lambda state, _: _VACUUM_STATES.get(state), lambda v: (_VACUUM[v], {}))}
        case "media_player":
            return {
                "playback": channel(lambda state, _: _PLAYER_STATES.get(state), lambda v: (_PLAYER[v], {})),
                "volume": channel(attribute("volume_level", 100), lambda v: ("volume_set", {"volume_level": v / 100})),
            }
        case "scene":
            return {"scene": channel(None, lambda _: ("turn_on", {}))}
    return _sensor(domain, attributes, channel)


def _light(attributes: Mapping[str, Any], channel: Any, attribute: Any, switch: Channel) -> dict[str, Channel]:
    modes = set(attributes.get("supported_color_modes") or ())
    found = {"on": switch}
    if modes - {"onoff"}:
        found["level"] = channel(attribute("brightness", 100 / 255), lambda v: ("turn_on", {"brightness_pct": v}))
    if "color_temp" in modes:
        found["kelvin"] = channel(
            attribute("color_temp_kelvin"), lambda v: ("turn_on", {"color_temp_kelvin": round(v)})
        )
    if modes & {"hs", "xy", "rgb", "rgbw", "rgbww"}:

        def colour(state: str, told: Mapping[str, Any]) -> Any:
            pair = told.get("hs_color")
            return (float(pair[0]), float(pair[1])) if isinstance(pair, list) and len(pair) == 2 else None

        found["colour"] = channel(colour, lambda v: ("turn_on", {"hs_color": list(v)}))
    return found


def _cover(attributes: Mapping[str, Any], channel: Any) -> dict[str, Channel]:
    def position(state: str, told: Mapping[str, Any]) -> Any:
        at = number(told.get("current_position"))
        return {"open": 100, "closed": 0}.get(state) if at is None else neat(at)

    move = channel(None, lambda action: (f"{action}_cover", {}))
    send = (lambda v: ("set_cover_position", {"position": round(v)})) if "current_position" in attributes else None
    return {"move": move, "position": channel(position, send)}


def _sensor(domain: str, attributes: Mapping[str, Any], channel: Any) -> dict[str, Channel]:
    kind = attributes.get("device_class")
    if domain == "binary_sensor" and kind in ("door", "window", "opening", "garage_door"):
        return {"open": channel(lambda state, _: {"on": True, "off": False}.get(state), None)}
    if domain == "sensor" and kind in ("temperature", "humidity"):
        fahrenheit = str(attributes.get("unit_of_measurement", "")).endswith("F")

        def measured(state: str, told: Mapping[str, Any]) -> Any:
            found = number(state)
            return None if found is None else neat(round((found - 32) / 1.8 if fahrenheit else found, 1))

        return {str(kind): channel(measured, None)}
    return {}

"""Home Assistant's MQTT discovery: homeassistant/COMPONENT/[NODE/]OBJECT/config announces one entity and its topics.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. Of its Jinja templates only the plain ones are read
({{ value }}, {{ value_json.key }} and filters behind them); an ability behind any other is left out rather than guessed.
media_player follows the widely used custom integration mqtt_media_player, since Home Assistant itself has none over MQTT.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .devices import Channel, Device, hue_saturation, neat, number, parse

_KINDS = {
    "light": "light", "switch": "plug", "climate": "climate", "cover": "cover", "lock": "lock", "fan": "fan",
    "vacuum": "vacuum", "media_player": "media", "scene": "scene", "sensor": "sensor", "binary_sensor": "binary",
}  # fmt: skip
_SHORT = {
    "cmd_t": "command_topic", "stat_t": "state_topic", "dev": "device", "dev_cla": "device_class", "uniq_id": "unique_id",
    "val_tpl": "value_template", "stat_val_tpl": "state_value_template", "pl_on": "payload_on", "pl_off": "payload_off",
    "bri_cmd_t": "brightness_command_topic", "bri_stat_t": "brightness_state_topic", "bri_scl": "brightness_scale",
    "bri_val_tpl": "brightness_value_template", "clr_temp_cmd_t": "color_temp_command_topic",
    "clr_temp_stat_t": "color_temp_state_topic", "hs_cmd_t": "hs_command_topic", "hs_stat_t": "hs_state_topic",
    "sup_clrm": "supported_color_modes", "temp_cmd_t": "temperature_command_topic", "temp_stat_t": "temperature_state_topic",
    "temp_stat_tpl": "temperature_state_template", "mode_cmd_t": "mode_command_topic", "mode_stat_t": "mode_state_topic", "mode_stat_tpl": "mode_state_template",
    "curr_temp_t": "current_temperature_topic",
    "curr_temp_tpl": "current_temperature_template", "set_pos_t": "set_position_topic", "pos_t": "position_topic",
    "pos_tpl": "position_template", "pos_open": "position_open", "pos_clsd": "position_closed", "pl_open": "payload_open",
    "pl_cls": "payload_close", "pl_stop": "payload_stop", "pl_lock": "payload_lock", "pl_unlk": "payload_unlock",
    "stat_locked": "state_locked", "stat_unlocked": "state_unlocked", "stat_on": "state_on", "stat_off": "state_off",
    "pct_cmd_t": "percentage_command_topic", "pct_stat_t": "percentage_state_topic", "avty_t": "availability_topic",
    "avty": "availability", "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "t": "topic",
    "ids": "identifiers", "sa": "suggested_area", "unit_of_meas": "unit_of_measurement", "spd_rng_max": "speed_range_max",
}  # fmt: skip
_TEMPLATE = re.compile(r"^\{\{\s*value(?:_json)?((?:\.\w+|\[\s*['\"][^'\"]+['\"]\s*\])*)\s*(?:\|[^}]*)?\}\}$")
Read = Callable[[bytes], Any]


def is_config(topic: str, prefix: str) -> bool:
    return topic.startswith(f"{prefix}/") and topic.endswith("/config")


def read_config(topic: str, payload: bytes, prefix: str) -> Device | None:
    """The entity that a config message announces; None for garbage and for components that no tool is for."""
    raw = parse(payload)
    component = topic.removeprefix(f"{prefix}/").split("/")[0]
    if not isinstance(raw, Mapping) or component not in _KINDS:
        return None
    config = _expanded(raw)
    given = config.get("device")
    about: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    name = str(config.get("name") or about.get("name") or topic.split("/")[-2])
    device = Device(f"ha:{config.get('unique_id') or topic}", name, _KINDS[component], convention="discovery")
    device.room = str(about.get("suggested_area") or "")
    device.device_class = str(config.get("device_class") or "")
    names = about.get("identifiers") or ()
    device.same_as = frozenset([names] if isinstance(names, str) else map(str, names))
    device.availability = _availability(config)
    device.channels = {key: channel for key, channel in _CHANNELS[device.kind](config).items() if channel is not None}
    return device if device.channels else None


def _expanded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Abbreviations written out, and the base topic `~` put in."""
    config = {_SHORT.get(key, key): value for key, value in raw.items()}
    if isinstance(config.get("device"), Mapping):
        config["device"] = {_SHORT.get(key, key): value for key, value in config["device"].items()}
    base = config.get("~")
    if isinstance(base, str):
        for key, value in config.items():
            if isinstance(value, str) and key.endswith("topic"):
                config[key] = (
                    base + value[1:] if value.startswith("~") else value.removesuffix("~") + base * value.endswith("~")
                )
    return config


def _availability(config: Mapping[str, Any]) -> dict[str, tuple[bytes, bytes]]:
    listed = config.get("availability")
    entries = list(listed) if isinstance(listed, list) else [listed] if isinstance(listed, Mapping) else []
    if config.get("availability_topic"):
        entries.append({**config, "topic": config["availability_topic"]})
    found: dict[str, tuple[bytes, bytes]] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            entry = _expanded(entry)
            online, offline = entry.get("payload_available", "online"), entry.get("payload_not_available", "offline")
            found[str(entry.get("topic"))] = (str(online).encode(), str(offline).encode())
    return found


# --- one value on one topic ------------------------------------------------------------------------------------------


def _picker(template: Any) -> Read | None:
    """What a value template picks out of a payload, as text or JSON value; None for a template that is not plain."""
    if not template:
        return lambda payload: payload.decode("utf-8", "replace").strip()
    plain = _TEMPLATE.match(str(template).strip())
    if plain is None:
        return None
    path = re.findall(r"\w+", plain[1]) if plain[1] else []

    def pick(payload: bytes) -> Any:
        found = parse(payload) if path else payload.decode("utf-8", "replace").strip()
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return pick


def _channel(
    config: Mapping[str, Any],
    command: str,
    state: str,
    template: str,
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
) -> Channel | None:
    """A channel from the names of the config's keys; None where the config has neither topic."""
    target, source = config.get(command), config.get(state)
    pick = _picker(config.get(template))
    if not isinstance(target, str) and not isinstance(source, str):
        return None
    if pick is None or config.get(f"{command.removesuffix('topic')}template"):
        return None

    def read(payload: bytes) -> Any:
        value = pick(payload)
        return None if value is None else decode(value)

    write = (lambda value: (target, str(encode(value)))) if isinstance(target, str) else None
    return Channel(source if isinstance(source, str) else "", write, read)


def _switch(config: Mapping[str, Any], template: str = "value_template") -> Channel | None:
    on, off = str(config.get("payload_on", "ON")), str(config.get("payload_off", "OFF"))
    told_on, told_off = str(config.get("state_on", on)), str(config.get("state_off", off))
    encode = lambda value: on if value else off  # noqa: E731
    return _channel(config, "command_topic", "state_topic", template, encode, _one_of({told_on: True, told_off: False}))


def _one_of(values: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda value: values.get(str(value))


def _scaled(top: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Encoder and decoder between percent and 0..top."""
    full = number(top) or 100.0

    def decode(value: Any) -> Any:
        found = number(value)
        return None if found is None else neat(round(found * 100 / full, 1))

    return lambda value: round(value * full / 100), decode


def _degrees(value: Any) -> Any:
    found = number(value)
    return None if found is None else neat(found)


def _kelvin(value: Any) -> Any:
    found = number(value)
    return round(1e6 / found) if found and found > 0 else None


# --- kinds -----------------------------------------------------------------------------------------------------------

Channels = dict[str, Channel | None]


def _light(config: Mapping[str, Any]) -> Channels:
    if config.get("schema") == "json":
        return _json_light(config)
    up, down = _scaled(config.get("brightness_scale", 255))
    return {
        "on": _switch(config, "state_value_template"),
        "level": _channel(config, "brightness_command_topic", "brightness_state_topic", "brightness_value_template", up, down),
        "kelvin": _channel(
            config, "color_temp_command_topic", "color_temp_state_topic", "color_temp_value_template", lambda k: round(1e6 / k), _kelvin
        ),
        "colour": _channel(
            config, "hs_command_topic", "hs_state_topic", "hs_value_template",
            lambda hs: f"{round(hs[0])},{round(hs[1])}", _hs_text,
        ),
    }  # fmt: skip


def _hs_text(value: Any) -> Any:
    parts = str(value).split(",")
    return hue_saturation({"h": parts[0], "s": parts[1]}) if len(parts) == 2 else None


def _json_light(config: Mapping[str, Any]) -> Channels:
    target, source = config.get("command_topic"), str(config.get("state_topic") or "")
    if not isinstance(target, str):
        return {}
    modes = [str(mode) for mode in config.get("supported_color_modes") or ()]
    up, down = _scaled(config.get("brightness_scale", 255))

    def part(key: str, encode: Callable[[Any], dict[str, Any]], decode: Callable[[Any], Any]) -> Channel:
        def read(payload: bytes) -> Any:
            told = parse(payload)
            return decode(told[key]) if isinstance(told, Mapping) and key in told else None

        return Channel(source, lambda value: (target, json.dumps(encode(value))), read)

    channels: Channels = {
        "on": part("state", lambda v: {"state": "ON" if v else "OFF"}, _one_of({"ON": True, "OFF": False}))
    }
    if config.get("brightness") or set(modes) - {"onoff"}:
        channels["level"] = part("brightness", lambda v: {"state": "ON" if v else "OFF", "brightness": up(v)}, down)
    if "color_temp" in modes or config.get("color_temp"):
        channels["kelvin"] = part("color_temp", lambda k: {"state": "ON", "color_temp": round(1e6 / k)}, _kelvin)
    if {"hs", "xy", "rgb"} & set(modes) or config.get("hs"):
        hs = lambda v: {"state": "ON", "color": {"h": round(v[0]), "s": round(v[1])}}  # noqa: E731
        channels["colour"] = part("color", hs, hue_saturation) if "hs" in modes or config.get("hs") else None
    return channels


def _climate(config: Mapping[str, Any]) -> Channels:
    return {
        "target": _channel(
            config, "temperature_command_topic", "temperature_state_topic", "temperature_state_template", neat, _degrees
        ),
        "heat": _channel(
            config,
            "mode_command_topic",
            "mode_state_topic",
            "mode_state_template",
            lambda v: "heat" if v else "off",
            lambda v: None if not isinstance(v, str) or not v else v != "off",
        ),
        "temperature": _channel(config, "", "current_temperature_topic", "current_temperature_template", str, _degrees),
    }


def _cover(config: Mapping[str, Any]) -> Channels:
    top, bottom = number(config.get("position_open", 100)), number(config.get("position_closed", 0))
    top, bottom = 100.0 if top is None else top, bottom or 0.0

    def position(value: Any) -> Any:
        found = number(value)
        return None if found is None or top == bottom else neat(round((found - bottom) * 100 / (top - bottom), 1))

    words = {verb: str(config.get(f"payload_{verb}", verb.upper())) for verb in ("open", "close", "stop")}
    states = {str(config.get("state_open", "open")): 100, str(config.get("state_closed", "closed")): 0}
    told = _channel(
        config, "set_position_topic", "position_topic", "position_template",
        lambda percent: round(bottom + percent * (top - bottom) / 100), position,
    )  # fmt: skip
    if told is None or not told.state_topic:
        told = _channel(config, "", "state_topic", "value_template", str, _one_of(states)) or told
    return {"move": _channel(config, "command_topic", "", "", words.__getitem__, str), "position": told}


def _lock(config: Mapping[str, Any]) -> Channels:
    lock, unlock = str(config.get("payload_lock", "LOCK")), str(config.get("payload_unlock", "UNLOCK"))
    told = {str(config.get("state_locked", "LOCKED")): True, str(config.get("state_unlocked", "UNLOCKED")): False}
    return {
        "locked": _channel(
            config, "command_topic", "state_topic", "value_template", lambda v: lock if v else unlock, _one_of(told)
        )
    }


def _fan(config: Mapping[str, Any]) -> Channels:
    up, down = _scaled(config.get("speed_range_max", 100))
    return {
        "on": _switch(config, "state_value_template"),
        "speed": _channel(
            config, "percentage_command_topic", "percentage_state_topic", "percentage_value_template", up, down
        ),
    }


def _vacuum(config: Mapping[str, Any]) -> Channels:
    words = {
        "start": config.get("payload_start", "start"), "stop": config.get("payload_stop", "stop"),
        "pause": config.get("payload_pause", "pause"), "dock": config.get("payload_return_to_base", "return_to_base"),
    }  # fmt: skip
    states = {"cleaning": "start", "docked": "dock", "returning": "dock", "paused": "pause", "idle": "stop"}
    return {
        "activity": _channel(
            {"value_template": "{{ value_json.state }}", **config},
            "command_topic", "state_topic", "value_template", words.__getitem__, _one_of(states),
        )
    }  # fmt: skip


def _media(config: Mapping[str, Any]) -> Channels:
    verbs = ("play", "pause", "stop", "next", "previous")
    words = {
        verb: (config[f"command_{verb}_topic"], str(config.get(f"command_{verb}_payload", verb)))
        for verb in verbs
        if isinstance(config.get(f"command_{verb}_topic"), str)
    }
    states = {"playing": "play", "paused": "pause", "idle": "stop", "stopped": "stop", "off": "stop"}
    reader = _channel(config, "", "state_state_topic", "", str, lambda v: states.get(str(v).lower()))
    source = reader.state_topic if reader else ""
    playback = Channel(source, words.__getitem__ if words else None, reader.decode if reader else None)
    up, down = _scaled(100)
    return {
        "playback": playback if words else None,
        "volume": _channel(config, "command_volume_topic", "state_volume_topic", "", up, down),
    }


def _scene(config: Mapping[str, Any]) -> Channels:
    return {"scene": _channel(config, "command_topic", "", "", lambda _: config.get("payload_on", "ON"), str)}


def _sensor(config: Mapping[str, Any]) -> Channels:
    kind = str(config.get("device_class") or "")
    if kind not in ("temperature", "humidity"):
        return {}
    fahrenheit = str(config.get("unit_of_measurement", "")).endswith("F")
    decode = (lambda v: _degrees((number(v) - 32) / 1.8) if number(v) is not None else None) if fahrenheit else _degrees
    return {kind: _channel(config, "", "state_topic", "value_template", str, decode)}


def _binary(config: Mapping[str, Any]) -> Channels:
    if config.get("device_class") not in ("door", "window", "opening", "garage_door"):
        return {}
    told = {str(config.get("payload_on", "ON")): True, str(config.get("payload_off", "OFF")): False}
    return {"open": _channel(config, "", "state_topic", "value_template", str, _one_of(told))}


_CHANNELS: dict[str, Callable[[Mapping[str, Any]], Channels]] = {
    "light": _light, "plug": lambda config: {"on": _switch(config)}, "climate": _climate,
    "cover": _cover, "lock": _lock, "fan": _fan, "vacuum": _vacuum, "media": _media, "scene": _scene, "sensor": _sensor,
    "binary": _binary,
}  # fmt: skip

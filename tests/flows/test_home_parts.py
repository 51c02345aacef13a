"""What the home makes of announcements and payloads: abbreviations, templates, rooms, colours, and rubbish."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mosquitto import mosquitto  # noqa: F401
from plugin_parts import part

from voice_needle.dispatch.registry import bundled_folder
from voice_needle.evaluation.mosquitto import Mosquitto

devices = part("home", "devices")
discovery = part("home", "discovery")
zigbee2mqtt = part("home", "zigbee2mqtt")
house = part("home", "house")
sums = part("desk", "sums")
lists = part("desk", "list_tools")


def _announced(component: str, **config: Any) -> Any:
    return discovery.read_config(f"homeassistant/{component}/x/config", json.dumps(config).encode(), "homeassistant")


def test_abbreviated_keys_and_base_topic() -> None:
    lamp = _announced(
        "light", **{"~": "home/lamp", "name": "Lamp", "cmd_t": "~/set", "stat_t": "~/state", "bri_cmd_t": "~/b/set",
                    "bri_stat_t": "~/b", "bri_scl": 100, "dev": {"ids": "a", "sa": "Kitchen"}},
    )  # fmt: skip
    assert lamp.commands({"on": True, "level": 40}) == [("home/lamp/set", "ON"), ("home/lamp/b/set", "40")]
    assert lamp.read("home/lamp/state", b"ON") == {"on": True}
    assert lamp.read("home/lamp/b", b"40") == {"level": 40}
    assert lamp.room == "Kitchen"


@pytest.mark.parametrize(
    ("template", "payload", "told"),
    [
        ("{{ value_json.POWER }}", b'{"POWER": "ON"}', {"on": True}),
        ("{{ value_json['a']['b'] }}", b'{"a": {"b": "OFF"}}', {"on": False}),
        ("{{ value_json.POWER | upper }}", b'{"POWER": "ON"}', {"on": True}),
        ("{{ value }}", b" ON ", {"on": True}),
        ("{{ value_json.POWER }}", b"\xff{", {}),
        ("{{ value_json.POWER }}", b'{"POWER": "perhaps"}', {}),
    ],
)
def test_plain_templates(template: str, payload: bytes, told: dict[str, Any]) -> None:
    switch = _announced("switch", name="S", command_topic="c", state_topic="s", value_template=template)
    assert switch.read("s", payload) == told


def test_what_a_template_hides_is_left_out() -> None:
    template = "{% if value_json.x > 3 %}ON{% else %}OFF{% endif %}"
    assert _announced("switch", name="S", command_topic="c", state_topic="s", value_template=template) is None


def test_inverted_cover_positions() -> None:
    blind = _announced(
        "cover", name="B", set_position_topic="c", position_topic="p", position_open=0, position_closed=100
    )
    assert blind.commands({"position": 30}) == [("c", "70")]
    assert blind.read("p", b"70") == {"position": 30}


@pytest.mark.parametrize("payload", [b"", b"[", b"null", b"[]", b'"x"', b'{"name": 3, "device": []}', b"{}"])
def test_rubbish_announces_nothing(payload: bytes) -> None:
    assert discovery.read_config("homeassistant/light/x/config", payload, "homeassistant") is None


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["state", "brightness", "color", "h"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_payload_breaks_a_device(payload: bytes) -> None:
    exposes = [{"type": "light", "features": [
        {"name": "state", "value_on": "ON", "value_off": "OFF"}, {"name": "brightness", "value_max": 254},
        {"name": "color_temp"}, {"name": "color_hs", "property": "color"},
    ]}]  # fmt: skip
    entry = {"ieee_address": "0x1", "friendly_name": "l", "type": "Router", "definition": {"exposes": exposes}}
    lamp = zigbee2mqtt.read_devices(json.dumps([entry]).encode(), "z")[0]
    told = lamp.read("z/l", payload)
    assert set(told) <= {"on", "level", "kelvin", "colour"}
    assert "on" not in told or isinstance(told["on"], bool)


@pytest.mark.parametrize(
    ("area", "room"),
    [("Living Room", "living_room"), ("Lounge", "living_room"), ("Guest Bathroom", "guest_bathroom"), ("", "")],
)
def test_rooms_of_suggested_areas(area: str, room: str) -> None:
    rooms = {"living_room": ["living room", "lounge"], "bathroom": ["bathroom"], "everywhere": ["all"]}
    home = house.House(logging.getLogger(), rooms, {})
    config = {"name": "X", "cmd_t": "c", "dev": {"sa": area}}
    home.message("homeassistant/switch/x/config", json.dumps(config).encode(), True)
    assert [device.room for device in home.devices] == [room]


def test_announced_twice_is_one_device() -> None:
    home = house.House(logging.getLogger(), {"hall": ["hall"]}, {})
    feature = {"type": "switch", "features": [{"name": "state"}]}
    listed = [{"ieee_address": "0xab", "friendly_name": "hall plug", "definition": {"exposes": [feature]}}]
    home.message("zigbee2mqtt/bridge/devices", json.dumps(listed).encode(), True)
    config = {"name": "hall plug", "cmd_t": "zigbee2mqtt/hall plug/set", "dev": {"ids": ["zigbee2mqtt_0xab"]}}
    home.message("homeassistant/switch/0xab/switch/config", json.dumps(config).encode(), True)
    assert [(device.name, device.room) for device in home.devices] == [("hall plug", "hall")]


@pytest.mark.parametrize(
    ("colour", "hue"),
    [({"x": 0.6400, "y": 0.3300}, 0), ({"x": 0.3000, "y": 0.6000}, 120), ({"x": 0.1500, "y": 0.0600}, 240)],
)
def test_the_primaries_of_srgb(colour: dict[str, float], hue: float) -> None:
    """Chromaticities of IEC 61966-2-1."""
    found = devices.hue_saturation(colour)
    assert devices.alike("colour", found, (hue, 100))


@pytest.mark.parametrize(
    ("amount", "unit", "target", "value"),
    [
        (1, "mile", "metre", 1609.344), (1, "stone", "pound", 14), (1, "gallon", "pint", 8), (1, "pint", "fluid_ounce", 20),
        (1, "pound", "ounce", 16), (-40, "celsius", "fahrenheit", -40), (0, "kelvin", "celsius", -273.15),
        (0.1, "kilometre", "metre", 100), (1, "week", "hour", 168),
    ],
)  # fmt: skip
def test_conversions_are_exact(amount: float, unit: str, target: str, value: float) -> None:
    assert sums.convert(None, amount, unit, target).values["value"] == value


@pytest.mark.parametrize(
    ("said", "items"),
    [
        ("milk and eggs", ["milk", "eggs"]),
        ("some salt and pepper and bread", ["salt and pepper", "bread"]),
        ("milk, eggs, and salt and pepper", ["milk", "eggs", "salt and pepper"]),
        ("milk and milk", ["milk"]),
    ],
)
def test_things_on_a_list(said: str, items: list[str]) -> None:
    assert lists.split_items(said) == items


def test_simulator_as_a_program(mosquitto: Mosquitto) -> None:  # noqa: F811
    command = [sys.executable, str(bundled_folder() / "home" / "simulator.py"), "--broker", mosquitto.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert "devices at" in program.stdout.readline()
        program.terminate()
        assert program.wait(10) == 0

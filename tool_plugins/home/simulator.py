"""A house to try things on: lamps, plugs, heating, blinds, locks and more, as zigbee2mqtt and discovery devices on a broker.

    python tool_plugins/home/simulator.py --broker mqtt://localhost:1883 [--slow SECONDS] [--fault NAME=lying ...]

From Python: `with Simulator("mqtt://localhost:1883") as house: ... house.real["kitchen light"]["on"]`. `real` is what the
device truly is, whatever it says over MQTT. Faults, by device name: lying (acknowledges, does nothing), silent (does nothing,
says nothing), garbage (answers with bytes that mean nothing), deaf (does it, says nothing).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

FAULTS = ("lying", "silent", "garbage", "deaf")
State = dict[str, Any]


@dataclass
class Thing:
    """One simulated device, as simulated_house.json has it. state: what it is at first, with its convention's own keys."""

    name: str
    kind: str
    room: str
    state: State
    has: list[str] = field(default_factory=list)  # zigbee2mqtt: names of _FEATURES
    config: dict[str, Any] = field(default_factory=dict)  # discovery: what its config says beside the usual


def _feature(name: str, access: int = 7, prop: str = "", **more: Any) -> dict[str, Any]:
    return {"name": name, "property": prop or name, "access": access, **more}


_FEATURES = {
    "switch": _feature("state", type="binary", value_on="ON", value_off="OFF"),
    "dim": _feature("brightness", type="numeric", value_min=0, value_max=254),
    "white": _feature("color_temp", type="numeric", value_min=153, value_max=500),
    "colour": _feature("color_hs", prop="color", type="composite"),
    "position": _feature("position", type="numeric", value_min=0, value_max=100),
    "move": _feature("state", type="enum", values=["OPEN", "CLOSE", "STOP"]),
    "lock": _feature("state", type="binary", value_on="LOCK", value_off="UNLOCK"),
    "target": _feature("occupied_heating_setpoint", value_min=5, value_max=30, unit="°C"),
    "mode": _feature("system_mode", values=["off", "heat", "auto"]),
    "local": _feature("local_temperature", access=5, unit="°C"),
    "fan_mode": _feature("mode", prop="fan_mode", values=["off", "low", "medium", "high"]),
    "temperature": _feature("temperature", access=1, type="numeric"),
    "humidity": _feature("humidity", access=1, type="numeric"),
}


def things(convention: str) -> dict[str, Thing]:
    """The simulated devices that speak `zigbee2mqtt` or `discovery`, by name."""
    listed = json.loads((Path(__file__).parent / "simulated_house.json").read_text(encoding="utf-8"))[convention]
    return {entry["name"]: Thing(**entry) for entry in listed}


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


class Simulator:
    """All the devices on one broker. Use as a context manager, or start() and stop().

    slow_s: seconds a device takes to act. real: device name -> its true state. commands: (device, payload) as they arrived.
    """

    def __init__(self, broker: str, *, slow_s: float = 0.0, faults: Mapping[str, str] | None = None) -> None:
        self.slow_s = slow_s
        self.faults = dict(faults or {})
        self.commands: list[tuple[str, str]] = []
        self._zigbee = things("zigbee2mqtt")
        self._announced = things("discovery")
        self.real: dict[str, State] = {
            t.name: dict(t.state) for t in (*self._zigbee.values(), *self._announced.values())
        }
        self._claimed: dict[str, State] = {}
        self._lock = threading.RLock()
        self._ready = threading.Event()
        self._timers: set[threading.Timer] = set()
        parts = urlsplit(broker)
        self._address = (parts.hostname or "localhost", parts.port or 1883)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"simulator-{uuid.uuid4().hex[:8]}")
        if parts.username:
            self._client.username_pw_set(parts.username, parts.password)
        self._client.reconnect_delay_set(0.1, 1.0)
        self._client.on_socket_open = _no_delay
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._message

    def start(self, seconds: float = 10.0) -> Simulator:
        """Connect and announce everything. Errors: TimeoutError when there is no broker."""
        self._client.connect_async(*self._address)
        self._client.loop_start()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds: float = 10.0) -> None:
        """Until it is connected, also after the broker was away. Errors: TimeoutError."""
        if not self._ready.wait(seconds):
            raise TimeoutError(f"no MQTT broker at {self._address[0]}:{self._address[1]}")

    def reset(self, states: Mapping[str, State] | None = None) -> None:
        """Every device as at first, but for `states` (device -> keys); returns when the broker has heard of it."""
        with self._lock:
            for thing in (*self._zigbee.values(), *self._announced.values()):
                self.real[thing.name] = {**thing.state, **(states or {}).get(thing.name, {})}
                self._report(thing.name, self.real[thing.name])
        self._client.publish("sim/reset", b"", qos=1).wait_for_publish(10.0)

    @property
    def lamps(self) -> dict[str, str]:
        """Every lamp and its room, as a value of the room vocabulary."""
        things = (*self._zigbee.values(), *self._announced.values())
        return {thing.name: slug(thing.room) for thing in things if thing.kind == "light"}

    def changed(self) -> dict[str, State]:
        """The devices that are not as at first."""
        things = (*self._zigbee.values(), *self._announced.values())
        return {thing.name: self.real[thing.name] for thing in things if self.real[thing.name] != thing.state}

    def stop(self) -> None:
        for timer in list(self._timers):
            timer.cancel()
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # --- messages ---

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        if reason.is_failure:
            return
        self._publish("zigbee2mqtt/bridge/devices", json.dumps([_described(t) for t in self._zigbee.values()]))
        for thing in self._announced.values():
            component = thing.kind
            self._publish(f"homeassistant/{component}/{slug(thing.name)}/config", json.dumps(announcement(thing)))
        for name in self.real:
            self._report(name, self.real[name])
        self._client.subscribe([("zigbee2mqtt/+/set", 0), ("zigbee2mqtt/+/get", 0), ("zigbee2mqtt/+/+/set", 0),
                                ("zigbee2mqtt/+/+/get", 0), ("sim/+/set/#", 0)])  # fmt: skip

    def _publish(self, topic: str, payload: str | bytes) -> None:
        self._client.publish(topic, payload, qos=0, retain=True)

    def _message(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        topic, payload = message.topic, message.payload.decode("utf-8", "replace")
        if topic.startswith("zigbee2mqtt/"):
            name, _, verb = topic.removeprefix("zigbee2mqtt/").rpartition("/")
            if name in self._zigbee and verb == "get":
                self._later(lambda: self._asked(name))
            elif name in self._zigbee:
                self._command(name, payload, json.loads(payload))
            return
        _, key, _, what = topic.split("/", 3)
        for name, thing in self._announced.items():
            if slug(name) == key:
                self._command(name, payload, understood(thing, what, payload))

    def _command(self, name: str, payload: str, change: State) -> None:
        with self._lock:
            self.commands.append((name, payload))
        if self._announced.get(name, self._zigbee.get(name)).kind == "scene":  # type: ignore[union-attr]
            for lamp in ("floor lamp", "living_room/ceiling light"):
                self._later(lambda lamp=lamp: self._act(lamp, {"state": "ON", "brightness": 254}))  # type: ignore[misc]
            return
        self._later(lambda: self._act(name, change))

    def _later(self, act: Callable[[], None]) -> None:
        if self.slow_s <= 0:
            act()
            return
        timer = threading.Timer(self.slow_s, act)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def _act(self, name: str, change: State) -> None:
        fault = self.faults.get(name, "")
        with self._lock:
            after = {**self.real[name], **consequences(change, self.real[name])}
            if fault in ("", "deaf"):
                self.real[name] = after
            if fault == "garbage":
                self._publish(self._state_topic(name), b"\xff\x00{not json")
            elif fault == "lying":
                self._report(name, after if name in self._zigbee else self.real[name])
            elif not fault:
                self._report(name, after)

    def _asked(self, name: str) -> None:
        with self._lock:
            if self.faults.get(name, "") in ("", "lying"):
                self._report(name, self.real[name])

    def _state_topic(self, name: str) -> str:
        return f"zigbee2mqtt/{name}" if name in self._zigbee else f"sim/{slug(name)}/state"

    def _report(self, name: str, state: State) -> None:
        if name in self._zigbee:
            self._publish(self._state_topic(name), json.dumps(state))
            return
        thing = self._announced[name]
        if thing.config.get("schema") == "json" or thing.kind in ("vacuum",):
            self._publish(self._state_topic(name), json.dumps(state))
            return
        for key, value in state.items():
            self._publish(f"sim/{slug(name)}/{key}", str(value))


def consequences(change: State, before: State) -> State:
    """What a command makes of a device: a brighter lamp is on, a blind that opens ends at the top."""
    after = dict(change)
    if "brightness" in change and "state" not in change:
        after["state"] = "ON" if change["brightness"] else "OFF"
    if "position" in before and "state" in change:
        after["position"] = {"OPEN": 100, "CLOSE": 0}.get(change["state"], before["position"])
        after["state"] = "OPEN" if after["position"] else "CLOSE"
    elif "position" in change and "state" in before:
        after["state"] = "OPEN" if change["position"] else "CLOSE"
    if "fan_mode" in change and "state" not in change:
        after["state"] = "OFF" if change["fan_mode"] == "off" else "ON"
    return after


def _described(thing: Thing) -> dict[str, Any]:
    """A zigbee2mqtt device as bridge/devices lists it."""
    features = [_FEATURES[name] for name in thing.has]
    exposes: list[dict[str, Any]] = [{"type": thing.kind, "features": features}] if thing.kind else features
    return {
        "ieee_address": f"0x{abs(hash_of(thing.name)):016x}", "type": "Router", "friendly_name": thing.name,
        "description": thing.room, "supported": True, "disabled": False, "interview_completed": True,
        "definition": {"model": "simulated", "vendor": "voice_needle", "exposes": exposes},
    }  # fmt: skip


def hash_of(text: str) -> int:
    """The same in every run, as an address is."""
    return int.from_bytes(uuid.uuid5(uuid.NAMESPACE_DNS, text).bytes[:8], "big")


def announcement(thing: Thing) -> dict[str, Any]:
    """The discovery config of a device."""
    base = f"sim/{slug(thing.name)}"
    config: dict[str, Any] = {
        "name": thing.name, "unique_id": f"sim_{slug(thing.name)}", "~": base,
        "device": {"identifiers": [f"sim_{slug(thing.name)}"], "name": thing.name, "suggested_area": thing.room},
    }  # fmt: skip
    switch = {"command_topic": "~/set/state", "state_topic": "~/state"}
    match thing.kind:
        case "light" if thing.config.get("schema") == "json":
            config |= {"cmd_t": "~/set/json", "stat_t": "~/state"}
        case "light":
            bright = {"brightness_command_topic": "~/set/brightness", "brightness_state_topic": "~/brightness"}
            config |= {**switch, **bright, "brightness_scale": 100}
        case "climate":
            config |= {"temperature_command_topic": "~/set/target", "temperature_state_topic": "~/target",
                       "current_temperature_topic": "~/current", "min_temp": 5, "max_temp": 30}  # fmt: skip
        case "cover":
            config |= {
                "command_topic": "~/set/move",
                "set_position_topic": "~/set/position",
                "position_topic": "~/position",
            }
        case "fan":
            config |= {
                **switch,
                "percentage_command_topic": "~/set/percentage",
                "percentage_state_topic": "~/percentage",
            }
        case "vacuum":
            features = ["start", "stop", "pause", "return_home", "status"]
            config |= {
                "schema": "state",
                "command_topic": "~/set/activity",
                "state_topic": "~/state",
                "supported_features": features,
            }
        case "media_player":
            config |= {
                "state_state_topic": "~/state",
                "state_volume_topic": "~/volume",
                "command_volume_topic": "~/set/volume",
            }
            config |= {
                f"command_{verb}_topic": f"~/set/{verb}" for verb in ("play", "pause", "stop", "next", "previous")
            }
        case "scene":
            config |= {"command_topic": "~/set/scene", "payload_on": "ON"}
        case "sensor":
            config |= {"state_topic": "~/value", "unit_of_measurement": "°C"}
        case _:
            config |= switch
    return {**config, **thing.config}


def understood(thing: Thing, what: str, payload: str) -> State:
    """A command to a discovery device as a change of its state."""
    match what:
        case "json":
            return dict(json.loads(payload))
        case "brightness" | "percentage" | "position" | "volume":
            return {what: round(float(payload))}
        case "target":
            return {"target": float(payload)}
        case "move":
            return {} if payload == "STOP" else {"position": {"OPEN": 100, "CLOSE": 0}[payload]}
        case "activity":
            return {
                "state": {"start": "cleaning", "stop": "idle", "pause": "paused", "return_to_base": "docked"}[payload]
            }
        case "play" | "next" | "previous":
            return {"state": "playing"}
        case "pause" | "stop":
            return {"state": "paused" if what == "pause" else "idle"}
        case "state" if thing.kind == "lock":
            return {"state": {"LOCK": "LOCKED", "UNLOCK": "UNLOCKED"}[payload]}
    return {what: payload}


def _no_delay(client: Any, data: Any, sock: Any) -> None:
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--broker", default="mqtt://localhost:1883", help="mqtt://HOST:PORT")
    parser.add_argument("--slow", type=float, default=0.0, metavar="SECONDS", help="how long a device takes to act")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME=KIND", help="lying, silent, garbage or deaf"
    )
    options = parser.parse_args()
    faults = dict(item.split("=", 1) for item in options.fault)
    house = Simulator(options.broker, slow_s=options.slow, faults=faults)
    if unknown := [f"{n}={f}" for n, f in faults.items() if n not in house.real or f not in FAULTS]:
        parser.error(f"no such device or fault: {', '.join(unknown)}")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # for every thread: sigwait takes them
    try:
        house.start()
    except TimeoutError as error:
        print(f"{error}\nFix: start mosquitto", file=sys.stderr)
        return 2
    print(f"{len(house.real)} devices at {options.broker}; Ctrl-C ends", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    house.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

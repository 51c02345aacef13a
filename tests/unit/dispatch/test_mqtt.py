"""The MQTT handler against a real Mosquitto with a lamp that can be honest, silent, lying or slow."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from dispatch_desk import Desk, until
from paho.mqtt.enums import CallbackAPIVersion

from voice_needle.events import Call, Status

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
pytestmark = pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="mosquitto is not installed")

MANIFEST = """
settings: {broker: {default: "mqtt://127.0.0.1:1"}}
tools:
  lamp:
    description: Switch a lamp.
    parameters: {name: {type: string}, state: {enum: [on, off]}}
    handler:
      mqtt:
        topic: "lamps/{name}/set"
        payload: {state: "{state}"}
        expect: {topic: "lamps/{name}", path: state, equals: "{state}"}
        result: {level: brightness}
    policy: {confirm: never, timeout_ms: 800}
"""


class Broker:
    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [MOSQUITTO, "-p", str(self.port)]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            with contextlib.suppress(subprocess.TimeoutExpired):  # still running, as it should: ask again
                raise AssertionError(f"mosquitto ended with {self.process.wait(timeout=0.02)}")
        raise AssertionError("mosquitto did not start")

    def pause(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def stop(self) -> None:
        if self.process:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.terminate()
            self.process.wait()
            self.process = None


class Lamp:
    """Listens to lamps/+/set; `answer` decides what it reports."""

    def __init__(self, port: int) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.mode = "honest"
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.ready = False
        self.client.on_connect = lambda c, *a: c.subscribe("lamps/+/set", qos=1)
        self.client.on_subscribe = lambda *a: setattr(self, "ready", True)
        self.client.on_message = self.take
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def take(self, client: Any, userdata: Any, message: Any) -> None:
        wanted = json.loads(message.payload)["state"]
        self.taken.append((message.topic, wanted))
        topic = message.topic.removesuffix("/set")
        other = {"on": "off", "off": "on"}[wanted]
        match self.mode:
            case "honest":
                client.publish(topic, json.dumps({"state": wanted.upper(), "brightness": 254}), qos=1, retain=True)
            case "lying":
                client.publish(topic, json.dumps({"state": other}), qos=1)
            case "garbage":
                client.publish(topic, b"\xff\x00not json", qos=1)
            case "garbage, then honest":
                client.publish(topic, b"[1", qos=1)
                client.publish(topic, json.dumps({"brightness": 3}), qos=1)
                client.publish(topic, json.dumps({"state": wanted, "brightness": 7}), qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def lamp(broker: Broker) -> Iterator[Lamp]:
    lamp = Lamp(broker.port)
    yield lamp
    lamp.close()


def connect(desk: Desk, broker: Broker) -> Desk:
    desk.settings = {"x": {"broker": f"mqtt://127.0.0.1:{broker.port}"}}
    desk.plugin("x", MANIFEST)
    return desk.open()


async def switch(desk: Desk, state: str = "on", name: str = "hall") -> Any:
    return (await desk.do(Call("lamp", {"name": name, "state": state})))[0]


async def test_success_only_after_the_lamp_has_reported(desk: Desk, broker: Broker, lamp: Lamp) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    result = await switch(desk)
    assert (result.status, result.values) == (Status.OK, {"level": 254})
    assert lamp.taken == [("lamps/hall/set", "on")]


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("silent", Status.UNCONFIRMED),
        ("lying", Status.UNCONFIRMED),
        ("garbage", Status.UNCONFIRMED),
        ("garbage, then honest", Status.OK),
    ],
)
async def test_a_lamp_that_misbehaves(desk: Desk, broker: Broker, lamp: Lamp, mode: str, status: Status) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    lamp.mode = mode
    assert (await switch(desk)).status is status
    assert len(lamp.taken) == 1


async def test_what_was_retained_from_before_confirms_nothing(desk: Desk, broker: Broker, lamp: Lamp) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    assert (await switch(desk)).ok  # the honest lamp leaves a retained ON behind
    lamp.mode = "silent"
    assert (await switch(desk)).status is Status.UNCONFIRMED


async def test_no_broker_means_nothing_was_done(desk: Desk, broker: Broker) -> None:
    broker.stop()
    connect(desk, broker)
    assert (await switch(desk)).status is Status.UNREACHABLE


async def test_a_broker_that_stops_and_comes_back(desk: Desk, broker: Broker, lamp: Lamp) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    assert (await switch(desk)).ok
    lamp.ready = False
    broker.stop()
    assert (await switch(desk, "off")).status in (Status.UNREACHABLE, Status.UNCONFIRMED)
    broker.start()
    await until(lambda: lamp.ready)
    results = [await switch(desk, "on")]
    while not results[-1].ok and len(results) < 6:
        results.append(await switch(desk, "on"))
    assert results[-1].ok


async def test_a_broker_that_hangs_is_said_to_be_unconfirmed(desk: Desk, broker: Broker, lamp: Lamp) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    assert (await switch(desk)).ok
    broker.pause()
    assert (await switch(desk, "off")).status in (Status.UNREACHABLE, Status.UNCONFIRMED)


async def test_a_value_is_no_topic_of_its_own(desk: Desk, broker: Broker, lamp: Lamp) -> None:
    connect(desk, broker)
    await until(lambda: lamp.ready)
    assert (await switch(desk, name="+/x")).status is Status.FAILED
    assert lamp.taken == []

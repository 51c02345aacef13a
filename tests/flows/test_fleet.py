"""A real broker is told how the device is, and neither words nor sound unless that is switched on."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from mosquitto import Mosquitto, mosquitto  # noqa: F401 (a fixture)
from paho.mqtt.enums import CallbackAPIVersion

from voice_needle import config as configuration
from voice_needle.config import Config
from voice_needle.errors import ConfigError, ToolUnreachable
from voice_needle.events import (
    Call,
    CallEnded,
    Decided,
    Decision,
    Fault,
    Heard,
    Outcome,
    Status,
    ToolResult,
    Transcript,
)
from voice_needle.fleet import Fleet, identity, reporting, send

WORDS = "unlock the front door"
TURN = (
    Heard(1, 0.0, Transcript(WORDS), 12.0),
    Decided(1, 0.0, Decision(outcome=Outcome.ACT, calls=(Call("unlock", {"door": "front_door"}),), confidence=0.9), 3.0),
    CallEnded(1, 0.0, ToolResult(Call("unlock", {"door": "front_door"}), Status.OK)),
)


class Listener:
    """Everything the broker has for voice-needle/#."""

    def __init__(self, broker: Mosquitto) -> None:
        self.got: queue.Queue[tuple[str, dict[str, Any], bool]] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda *_: self._client.subscribe("voice-needle/#", 1)
        self._client.on_message = lambda _c, _u, m: self._heard(m)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def _heard(self, message: mqtt.MQTTMessage) -> None:
        if not message.topic.endswith("/config"):  # which is no JSON, and sent by the test itself
            self.got.put((message.topic, json.loads(message.payload), message.retain))

    def until(self, topic: str, **wanted: Any) -> dict[str, Any]:
        while True:
            at, body, _ = self.got.get(timeout=60)
            if at.endswith(topic) and all(body.get(key) == value for key, value in wanted.items()):
                return body

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:  # noqa: F811
    found = Listener(mosquitto)
    yield found
    found.close()


def told_to(broker: Mosquitto, **more: Any) -> Config:
    return replace(configuration.load(None, "pi4"), fleet=configuration.Fleet(broker=broker.url, **more))


@pytest.mark.parametrize("words", [False, True])
def test_status_turns_and_faults(mosquitto: Mosquitto, listener: Listener, words: bool):  # noqa: F811
    seen = []
    with reporting(told_to(mosquitto, words=words), seen.append) as (emit, _):
        assert listener.until("/status", online=True)["profile"] == "pi4"
        for event in TURN:
            emit(event)
        turn = listener.until("/turn", results=["ok"])
        assert turn["outcome"] == "act" and turn["route_ms"] == 3 and turn["transcribe_ms"] == 12
        assert ("front" in json.dumps(turn)) == words
        assert turn.get("words") == (WORDS if words else None)
        emit(Fault(1, 0.0, "HalfDuplex (off: the room)", "spoken", "fix"))
        assert listener.until("/status", faults=1)["last_fault"] == "HalfDuplex"
    assert listener.until("/status", online=False)["stopped"]
    assert len(seen) == 4  # and everything went where it went before


def test_a_device_that_vanishes_is_told_by_the_broker_and_late_comers_see_it(mosquitto: Mosquitto, listener: Listener):  # noqa: F811
    code = (
        "import sys\nfrom voice_needle import config, fleet\nfrom dataclasses import replace\n"
        f"c = replace(config.load(None, 'pi4'), fleet=config.Fleet(broker={mosquitto.url!r}))\n"
        "f = fleet.Fleet(c, 'lost'); f.start(); sys.stdin.read()\n"
    )
    device = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    listener.until("lost/status", online=True)
    device.kill()
    device.wait()
    assert listener.until("lost/status", online=False) == {"online": False}
    late = Listener(mosquitto)
    assert late.until("lost/status") == {"online": False}
    late.close()


def test_a_broker_that_is_away_costs_nothing(mosquitto: Mosquitto):  # noqa: F811
    mosquitto.stop()
    with reporting(told_to(mosquitto), lambda event: None) as (emit, _):
        for event in TURN:
            emit(event)


def test_a_bundle_for_a_broker_that_is_away_is_not_thought_sent(mosquitto: Mosquitto):  # noqa: F811
    mosquitto.stop()
    with pytest.raises(ToolUnreachable, match="did not take it"):
        send(told_to(mosquitto), "all", b"bundle", limit_s=1.0)


def test_nobody_is_told_by_default_and_a_wrong_address_is_a_mistake(tmp_path: Any):
    emit = print
    with reporting(configuration.load(None, "pi4"), emit) as (same, fleet):
        assert same is emit and fleet is None
    with pytest.raises(ConfigError, match=r"fleet\.broker"):
        Fleet(replace(configuration.load(None, "pi4"), fleet=configuration.Fleet(broker="kitchen")))
    (tmp_path / "id").write_text("0123456789abcdef0123456789abcdef\n")
    assert "0123" not in identity(tmp_path / "id") and identity(tmp_path / "id") == identity(tmp_path / "id")

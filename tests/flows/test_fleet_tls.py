"""A real broker with certificates: who is who is checked on both sides, and the doctor says what is wrong."""

from __future__ import annotations

import json
import queue
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from fleet_parts import Authority, TlsMosquitto

from voice_needle import config as configuration
from voice_needle.config import Config
from voice_needle.config import Fleet as Settings
from voice_needle.doctor import CHECKS, FAIL, OK, Finding, Patient
from voice_needle.errors import ConfigError
from voice_needle.fleet import Fleet, connection, identity

pytestmark = pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("mosquitto")), reason="needs openssl, Mosquitto")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def broker(authority: Authority, tmp_path: Path) -> Iterator[TlsMosquitto]:
    with TlsMosquitto(tmp_path / "broker", authority, *authority.sign("broker", "IP:127.0.0.1")) as found:
        yield found


def device(broker: TlsMosquitto, authority: Authority, **more: Any) -> Config:
    certificate, key = authority.sign("device")
    settings = Settings(**{"broker": broker.url, "ca": authority.certificate, "certificate": certificate, "key": key, **more})
    return replace(configuration.load(Path("/dev/null"), "pi4"), fleet=settings)


def examined(config: Config) -> Finding:
    (found,) = CHECKS["fleet"](Patient(config))
    return found


def heard(config: Config) -> tuple[mqtt.Client, queue.Queue[dict[str, Any]]]:
    """Every status that a client with the same certificates hears, once it is connected."""
    got: queue.Queue[dict[str, Any]] = queue.Queue()
    client = connection(config.fleet, "")
    client.on_connect = lambda *_: client.subscribe("voice-needle/+/status", 1)
    client.on_message = lambda _c, _u, message: got.put({"topic": message.topic, **json.loads(message.payload)})
    client.loop_start()
    return client, got


def refused(config: Config) -> bool:
    """Whether a device with this configuration fails to connect."""
    ended: queue.Queue[str] = queue.Queue()
    fleet = Fleet(config)
    fleet._client.on_connect_fail = lambda *_: ended.put("failed")
    fleet._client.on_disconnect = lambda *_: ended.put("failed")
    fleet._client.on_connect = lambda *_: ended.put("connected")
    fleet.start()
    try:
        return ended.get(timeout=20) == "failed"
    finally:
        fleet._client.disconnect()
        fleet._client.loop_stop()


def test_a_device_that_trusts_and_is_trusted_is_online_under_its_name(broker: TlsMosquitto, authority: Authority):
    config = device(broker, authority, name="till-7")
    found = examined(config)
    assert found.state == OK and "TLS" in found.what and "till-7" in found.what
    client, got = heard(config)
    fleet = Fleet(config)
    fleet.start()
    status = got.get(timeout=20)
    assert status["topic"] == "voice-needle/till-7/status" and status["online"]
    fleet.close()
    client.loop_stop()
    assert Fleet(device(broker, authority)).name == identity()


def test_a_broker_whom_another_authority_vouches_for_is_refused(broker: TlsMosquitto, authority: Authority, tmp_path: Path):
    config = device(broker, authority, ca=Authority(tmp_path, "foreign").certificate)
    assert refused(config)
    found = examined(config)
    assert found.state == FAIL and "self-signed" in found.what and "fleet: {ca:" in found.fix


def test_a_broker_with_a_certificate_for_another_host_is_refused(authority: Authority, tmp_path: Path):
    with TlsMosquitto(tmp_path / "other", authority, *authority.sign("other", "DNS:broker.example")) as other:
        config = device(other, authority)
        assert refused(config)
        found = examined(config)
        assert found.state == FAIL and "127.0.0.1" in found.what and "host name" in found.fix


def test_a_device_without_a_certificate_of_the_authority_is_refused(
    broker: TlsMosquitto, authority: Authority, tmp_path: Path
):
    assert refused(device(broker, authority, certificate=None, key=None))
    stranger = Authority(tmp_path, "stranger").sign("device")
    config = device(broker, authority, certificate=stranger[0], key=stranger[1])
    assert refused(config)
    found = examined(config)
    assert found.state == FAIL and "fleet: {certificate:" in found.fix
    assert not refused(device(broker, authority))


def test_a_file_that_is_no_certificate_is_a_mistake_with_its_fix(broker: TlsMosquitto, authority: Authority, tmp_path: Path):
    (tmp_path / "nothing.pem").write_text("nothing")
    for wrong in ({"ca": tmp_path / "nothing.pem"}, {"ca": tmp_path / "absent.pem"}, {"certificate": tmp_path / "nothing.pem"}):
        with pytest.raises(ConfigError, match="certificates cannot be read") as caught:
            Fleet(device(broker, authority, **wrong))
        assert "fleet: {ca:" in caught.value.fix

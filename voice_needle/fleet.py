"""Tells an existing MQTT broker how this device is: whether it listens, its faults, how long each turn took. Never audio or words.

    voice-needle/ID/status   retained; {"online": false} by the broker itself when the device is gone
    voice-needle/ID/turn     one message a turn: outcome and milliseconds; the words only with `fleet.words: true`
    voice-needle/ID/config   retained, to the device with `fleet.remote: true`: a signed bundle; voice-needle/all/config: to each

Off unless `fleet.broker` is configured. A broker that is away costs nothing: what it missed is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import queue
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from voice_needle import __version__, remote_config
from voice_needle.config import Config
from voice_needle.config import Fleet as FleetSettings
from voice_needle.errors import ConfigError, ToolUnreachable
from voice_needle.events import CallEnded, Decided, Event, Fault, Heard, SpeechEnded

log = logging.getLogger(__name__)

ROOT = "voice-needle"


def identity(machine_id: Path = Path("/etc/machine-id")) -> str:
    """Host name and the first digits of a hash of the machine's id, which itself must not be shown (machine-id(5))."""
    try:
        secret = machine_id.read_text(encoding="ascii").strip()
    except OSError:
        secret = ""
    return f"{socket.gethostname()}-{hashlib.sha256(f'voice-needle {secret}'.encode()).hexdigest()[:8]}"


def tls_context(settings: FleetSettings) -> ssl.SSLContext:
    """Believes a broker only with a certificate for its host name. Errors: ConfigError for files that are not certificates."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        wanted = f"{settings.ca or 'the system certificates'}, {settings.certificate or 'no certificate'}"
        raise ConfigError(f"The fleet's certificates cannot be read ({wanted}): {error}", fix="fleet: {ca: FILE, certificate: FILE, key: FILE}") from error
    return context


def connection(settings: FleetSettings, client_id: str) -> mqtt.Client:
    """A client that will connect to the fleet's broker. Errors: ConfigError."""
    url = urlsplit(settings.broker)
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname:
        raise ConfigError("`fleet.broker` must be mqtt://HOST or mqtts://HOST", fix="fleet: {broker: mqtts://HOST}")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if url.scheme == "mqtts":
        client.tls_set_context(tls_context(settings))
    if url.username:
        client.username_pw_set(unquote(url.username), unquote(url.password or ""))
    client.connect_async(url.hostname, url.port or (8883 if url.scheme == "mqtts" else 1883), keepalive=30)
    return client


class Fleet:
    """Feed it every event with `event`. restart: called, in MQTT's thread, when a configuration came that needs one.

    Errors: ConfigError for a URL that is none, or certificates that are not there.
    """

    def __init__(
        self,
        config: Config,
        name: str | None = None,
        now: Callable[[], float] = time.time,
        restart: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name or config.fleet.name or identity()
        self._remote, self._restart = remote_config.of(config), restart
        self._words, self._now, self._since = config.fleet.words, now, now()
        self._status: dict[str, Any] = {"online": True, "version": __version__, "profile": config.profile, "turns": 0, "faults": 0}
        self._turn: dict[str, Any] = {}
        self._client = connection(config.fleet, f"{ROOT}-{self.name}")
        self._client.will_set(self._topic("status"), json.dumps({"online": False}), qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.on_message = self._configured
        self._client.reconnect_delay_set(1, 60)

    def start(self) -> None:
        self._client.loop_start()

    def _topic(self, what: str) -> str:
        return f"{ROOT}/{self.name}/{what}"

    def _connected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            log.warning("the fleet's broker says %s", reason)
            return
        if self._remote is not None:
            client.subscribe([(self._topic("config"), 1), (f"{ROOT}/all/config", 1)])
        self._tell()

    def _configured(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        """In MQTT's thread. A bundle that is refused changes nothing; the status says why."""
        if self._remote is None:
            return
        try:
            wanted = self._remote.receive(bytes(message.payload))
        except Exception:
            log.exception("a configuration could not be taken")
            return
        self._tell()
        if wanted:
            self._restart()

    def settled(self) -> None:
        """The assistant has listened for a while: a configuration on trial stays."""
        if self._remote is not None and self._remote.settled():
            self._tell()

    def _tell(self) -> None:
        if self._remote is not None:
            self._status["config"] = {name: value for name, value in asdict(self._remote.state).items() if value}
        text = json.dumps({**self._status, "since": round(self._since), "at": round(self._now())})
        self._client.publish(self._topic("status"), text, qos=1, retain=True)

    def event(self, event: Event) -> None:
        """Anything that happens in the assistant; most of it is not told."""
        match event:
            case Fault(error=error):
                self._status |= {"faults": self._status["faults"] + 1, "last_fault": error.partition(" ")[0]}
                self._tell()
            case SpeechEnded(duration_ms=duration_ms):
                self._turn = {"speech_ms": round(duration_ms)}
            case Heard(transcript=transcript, elapsed_ms=elapsed_ms) if transcript.final:
                self._turn["transcribe_ms"] = round(elapsed_ms)
                if self._words:
                    self._turn["words"] = transcript.text
            case Decided(decision=decision, elapsed_ms=elapsed_ms):
                self._turn |= {"route_ms": round(elapsed_ms), "outcome": decision.outcome.value}
                if self._words:
                    self._turn["calls"] = [{"tool": call.tool, "arguments": dict(call.arguments)} for call in decision.calls]
                self._status["turns"] += 1
                self._publish_turn()
            case CallEnded(result=result):
                self._turn.setdefault("results", []).append(result.status.value)
                self._publish_turn()
            case _:
                return

    def _publish_turn(self) -> None:
        if self._client.is_connected():
            self._client.publish(self._topic("turn"), json.dumps(self._turn, default=str), qos=0)

    def close(self) -> None:
        """Say goodbye: a device that is switched off is not one that is lost."""
        if self._client.is_connected():
            gone = self._client.publish(self._topic("status"), json.dumps({"online": False, "stopped": True}), qos=1, retain=True)
            gone.wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def reporting(
    config: Config, emit: Callable[[Event], None], restart: Callable[[], None] = lambda: None
) -> Iterator[tuple[Callable[[Event], None], Fleet | None]]:
    """`emit`, and the fleet's broker beside it where one is configured; and the fleet. Errors: ConfigError."""
    if not config.fleet.broker:
        yield emit, None
        return
    fleet = Fleet(config, restart=restart)

    def both(event: Event) -> None:
        emit(event)
        fleet.event(event)

    fleet.start()
    try:
        yield both, fleet
    finally:
        fleet.close()


def send(config: Config, device: str, payload: bytes, limit_s: float = 20.0) -> None:
    """Leave a bundle (or b"": take it away) on the broker for one device, or `all`. Errors: ConfigError, ToolUnreachable."""
    client, answers = connection(config.fleet, ""), queue.SimpleQueue[ReasonCode]()
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.put(reason)
    client.loop_start()
    try:
        if (reason := answers.get(timeout=limit_s)).is_failure:
            raise ToolUnreachable(f"{config.fleet.broker.rpartition('@')[2]} says {reason}")
        client.publish(f"{ROOT}/{device}/config", payload, qos=1, retain=True).wait_for_publish(limit_s)
    except (queue.Empty, ValueError, RuntimeError) as error:
        broker = config.fleet.broker.rpartition("@")[2]
        raise ToolUnreachable(f"{broker} did not take it", fix="check the address and the certificates") from error
    finally:
        client.disconnect()
        client.loop_stop()

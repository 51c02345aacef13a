"""Tells an existing MQTT broker how this device is: whether it listens, its faults, how long each turn took. Never audio or words.

    voice-needle/ID/status   retained; {"online": false} by the broker itself when the device is gone
    voice-needle/ID/turn     one message a turn: outcome and milliseconds; the words only with `fleet.words: true`

Off unless `fleet.broker` is configured. A broker that is away costs nothing: what it missed is not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from voice_needle import __version__
from voice_needle.config import Config
from voice_needle.errors import ConfigError
from voice_needle.events import CallEnded, Decided, Event, Fault, Heard, SpeechEnded

ROOT = "voice-needle"


def identity(machine_id: Path = Path("/etc/machine-id")) -> str:
    """Host name and the first digits of a hash of the machine's id, which itself must not be shown (machine-id(5))."""
    try:
        secret = machine_id.read_text(encoding="ascii").strip()
    except OSError:
        secret = ""
    return f"{socket.gethostname()}-{hashlib.sha256(f'voice-needle {secret}'.encode()).hexdigest()[:8]}"


class Fleet:
    """Feed it every event with `event`. Errors: ConfigError for a URL that is none."""

    def __init__(self, config: Config, name: str | None = None, now: Callable[[], float] = time.time) -> None:
        url = urlsplit(config.fleet.broker)
        if url.scheme not in ("mqtt", "mqtts") or not url.hostname:
            raise ConfigError("`fleet.broker` must be mqtt://HOST or mqtts://HOST", fix="fleet: {broker: mqtts://HOST}")
        self.name = name or identity()
        self._words, self._now, self._since = config.fleet.words, now, now()
        self._status: dict[str, Any] = {"online": True, "version": __version__, "profile": config.profile, "turns": 0, "faults": 0}
        self._turn: dict[str, Any] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{ROOT}-{self.name}")
        if url.scheme == "mqtts":
            self._client.tls_set()
        if url.username:
            self._client.username_pw_set(unquote(url.username), unquote(url.password or ""))
        self._client.will_set(self._topic("status"), json.dumps({"online": False}), qos=1, retain=True)
        self._client.on_connect = lambda *_: self._tell()
        self._client.reconnect_delay_set(1, 60)
        self._client.connect_async(url.hostname, url.port or (8883 if url.scheme == "mqtts" else 1883), keepalive=30)

    def start(self) -> None:
        self._client.loop_start()

    def _topic(self, what: str) -> str:
        return f"{ROOT}/{self.name}/{what}"

    def _tell(self) -> None:
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
def reporting(config: Config, emit: Callable[[Event], None]) -> Iterator[Callable[[Event], None]]:
    """`emit`, and the fleet's broker beside it where one is configured. Errors: ConfigError."""
    if not config.fleet.broker:
        yield emit
        return
    fleet = Fleet(config)

    def both(event: Event) -> None:
        emit(event)
        fleet.event(event)

    fleet.start()
    try:
        yield both
    finally:
        fleet.close()

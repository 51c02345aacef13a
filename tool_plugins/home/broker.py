"""One connection to an MQTT broker, as an asyncio object: nothing is queued, nothing is sent to a broker that is not there.

A light switched on an hour late is a wrong action. So a command leaves only after the broker has answered a probe (an
UNSUBSCRIBE, which every broker acknowledges and no access rule forbids), at QoS 0, which no client repeats after a
reconnect, and with an MQTT 5 expiry, after which the broker drops it for a device that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from voice_needle.errors import ToolFailed, ToolUnreachable

from .connection import Connection

EXPIRY_S = 5
_PROBE_TOPIC = "voice_needle/probe"
_RECONNECT_S = (0.2, 2.0)  # first and longest pause between attempts


@dataclass(frozen=True)
class Address:
    """Where the broker is, from mqtt://[user:password@]host[:port] or mqtts://..."""

    host: str
    port: int
    tls: bool
    username: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Errors: ToolFailed for anything else."""
        parts = urlsplit(url if "//" in url else f"mqtt://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == -1:
            raise ToolFailed(
                f"{url!r} is not the URL of an MQTT broker",
                fix="set plugins.home.broker to mqtt://HOST:PORT",
                spoken="The address of the broker in my configuration is wrong.",
            )
        tls = parts.scheme == "mqtts"
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, user, password)


Message = Callable[[str, bytes, bool], None]  # topic, payload, retained


class Broker(Connection):
    """Open with `open`, close with `close`; all methods belong to the loop it was opened on.

    on_message: called on the loop. on_up: called on the loop after each (re)connect, to subscribe again.
    """

    def __init__(self, address: Address, log: logging.Logger, on_message: Message, on_up: Callable[[], None]) -> None:
        super().__init__()
        self.address = address
        self.name = f"voice-needle-{uuid.uuid4().hex[:8]}"
        self._log = log
        self._on_message = on_message
        self._on_up = on_up
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=mqtt.MQTTv5)
        client.reconnect_delay_set(*_RECONNECT_S)
        if self.address.username:
            client.username_pw_set(self.address.username, self.address.password or None)
        if self.address.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_socket_open = _no_delay
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_unsubscribe = self._probed
        client.on_message = self._received
        return client

    # --- called by paho's thread ---

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        if reason.is_failure:
            self._log.warning("the broker at %s:%d says %s", self.address.host, self.address.port, reason)
            return
        self._on_loop(self._set_up, True)

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        self._on_loop(self._set_up, False)

    def _probed(self, client: Any, data: Any, mid: int, *rest: Any) -> None:
        self._on_loop(self._answer_probe, mid)

    def _received(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._on_loop(self._on_message, topic, bytes(message.payload), bool(message.retain))

    # --- on the loop ---

    def _set_up(self, up: bool) -> None:
        if up != self.up:
            self._log.info("the broker is %s", "there" if up else "gone")
        if up:
            self._is_up()
            self._on_up()
        else:
            self._is_down()

    def _answer_probe(self, mid: int) -> None:
        if (answer := self._open_question(mid)) is not None:
            answer.set_result(None)

    def _gone(self, why: str = "does not answer") -> ToolUnreachable:
        return ToolUnreachable(
            f"the MQTT broker at {self.address.host}:{self.address.port} {why}",
            fix="systemctl status mosquitto",
            spoken="I cannot reach the home broker. Nothing was done.",
        )

    async def open(self) -> None:
        """Begin to connect, and keep trying for as long as it is open. Does not wait."""
        self._client.connect_async(self.address.host, self.address.port, keepalive=15)
        self._client.loop_start()

    async def _ping(self) -> None:
        _, mid = self._client.unsubscribe(_PROBE_TOPIC)
        if mid is None:
            raise self._gone()
        with self._question(mid) as answer:
            await answer

    def publish(self, topic: str, payload: str | bytes) -> None:
        """Send now or not at all. Errors: ToolUnreachable when the connection is down: then nothing was sent."""
        if not self.up:
            raise self._gone()
        properties = Properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = EXPIRY_S
        info = self._client.publish(topic, payload, qos=0, retain=False, properties=properties)
        if info.rc != mqtt.MQTT_ERR_SUCCESS:
            raise self._gone()

    def subscribe(self, topics: list[str]) -> None:
        """Receive these topics, retained messages first. Lost when the connection is; `on_up` is the place to do it again."""
        if topics and self.up:
            self._client.subscribe([(topic, 0) for topic in topics])

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


def _no_delay(client: Any, data: Any, sock: Any) -> None:
    """Without it Nagle's algorithm holds a small packet back for up to 40 ms."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

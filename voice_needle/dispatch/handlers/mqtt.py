"""Publishes an MQTT message and believes it only when the device reports its new state.

    handler:
      mqtt:
        broker: "{settings.broker}"                  # default; mqtt://[user:password@]host[:port] or mqtts://
        topic: "zigbee2mqtt/{room}/set"
        payload: {state: "{state}"}                  # a mapping or list is sent as JSON
        qos: 1                                       # default 1
        retain: false
        expect: {topic: "zigbee2mqtt/{room}", path: state, equals: "{state}", retained: false}
        result: {level: brightness}                  # value -> path in the reported state

With `expect`, the topic is subscribed to before the message goes out, and the call waits until it reports the value (compared
without regard to case) or the time is up: then it is unconfirmed. A retained message is what was known before; it does not
count unless `retained: true`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from voice_needle.dispatch.handlers.template import Filler, as_text, pick
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolFailed, ToolUnconfirmed, ToolUnreachable
from voice_needle.plugin import Context, Result

_CONNECT_S = 5.0
_KEEPALIVE_S = 30
_ACK_S = 2.0
Listener = Callable[[bytes, bool], None]  # payload, retained


class Brokers:
    """The connections of one plugin, one for each broker."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._connections: dict[str, Connection] = {}

    async def call(
        self, context: Context, declared: Mapping[str, Any], arguments: Mapping[str, Any], watch: Watch
    ) -> Result:
        """Errors: ToolUnreachable (no broker), ToolUnconfirmed (no report of the new state), ToolFailed."""
        filler = Filler(context, arguments)
        url = filler.text(declared.get("broker", "{settings.broker}"))
        connection = self._connections.setdefault(url, Connection(url, self._plugin))
        watch.unanswered = ToolUnreachable(f"the MQTT broker of {self._plugin} cannot be reached")
        await connection.ready()
        payload = filler.deep(declared.get("payload", ""))
        body = json.dumps(payload) if isinstance(payload, dict | list) else as_text(payload)
        topic = filler.text(declared["topic"], encode=_no_wildcard)
        how = (topic, body, declared.get("qos", 1), declared.get("retain", False))
        expect = declared.get("expect")
        if not expect:
            await connection.publish(*how, watch)
            return Result()
        return await _confirmed(connection, how, expect, filler, declared.get("result") or {}, watch)

    async def close(self) -> None:
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(*(asyncio.to_thread(connection.close) for connection in connections))


async def _confirmed(
    connection: Connection,
    how: tuple[str, str, int, bool],
    expect: Mapping[str, Any],
    filler: Filler,
    wanted: Mapping[str, str],
    watch: Watch,
) -> Result:
    """Publish, then wait for the report. The caller's time limit is turned into ToolUnconfirmed by `Watch.unanswered`."""
    topic = filler.text(expect["topic"], encode=_no_wildcard)
    want = as_text(filler.deep(expect["equals"])).casefold() if "equals" in expect else None
    reported: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
    sent = False

    def listen(payload: bytes, retained: bool) -> None:
        if sent or (retained and expect.get("retained")):
            reported.put_nowait((payload, retained))

    async with connection.listening(topic, listen):
        sent = True
        await connection.publish(*how, watch)
        watch.unanswered = ToolUnconfirmed(f"{topic} did not report the new state")
        while True:
            payload, retained = await reported.get()
            if retained and not expect.get("retained"):
                continue
            with contextlib.suppress(KeyError, ValueError):
                state = _parsed(payload)
                found = pick(state, expect.get("path", ""))
                if want is None or as_text(found).casefold() == want:
                    return Result(**{name: pick(state, path) for name, path in wanted.items()})


def _parsed(payload: bytes) -> Any:
    text = payload.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _no_wildcard(text: str) -> str:
    """A value in a topic may be neither a wildcard nor a level of its own."""
    if any(char in text for char in "+#/\0"):
        raise ToolFailed(f"'{text}' cannot stand in an MQTT topic")
    return text


class Connection:
    """One broker. Connects at the first use and again after a loss; the network thread is paho's own."""

    def __init__(self, url: str, plugin: str) -> None:
        self._parts = urlsplit(url)
        if self._parts.scheme not in ("mqtt", "mqtts") or not self._parts.hostname:
            raise ToolFailed(f"{url} is not an MQTT address", fix="give mqtt://host:1883")
        self._loop = asyncio.get_running_loop()
        self._name = f"{self._parts.hostname}:{self._port}"
        self._connected = asyncio.Event()
        self._refused = ""
        self._listeners: dict[str, list[Listener]] = {}
        self._waiting: dict[tuple[str, int], asyncio.Future[None]] = {}
        self._started = False
        self._client = self._build(plugin)

    @property
    def _port(self) -> int:
        return self._parts.port or (8883 if self._parts.scheme == "mqtts" else 1883)

    def _build(self, plugin: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"voice-needle-{plugin}-{uuid.uuid4().hex[:8]}")
        if self._parts.username:
            client.username_pw_set(unquote(self._parts.username), unquote(self._parts.password or ""))
        if self._parts.scheme == "mqtts":
            client.tls_set_context(ssl.create_default_context())
        client.reconnect_delay_set(1, 10)
        client.on_socket_open = _no_delay
        client.on_connect = lambda c, u, f, reason, p: self._soon(self._on_connect, reason.is_failure, str(reason))
        client.on_disconnect = lambda *a: self._soon(self._connected.clear)
        client.on_message = lambda c, u, m: self._soon(self._on_message, m.topic, m.payload, m.retain)
        client.on_publish = lambda c, u, mid, r, p: self._soon(self._acknowledged, ("publish", mid))
        client.on_subscribe = lambda c, u, mid, r, p: self._soon(self._acknowledged, ("subscribe", mid))
        return client

    def _soon(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    async def ready(self) -> None:
        """Errors: ToolUnreachable."""
        if not self._started:
            self._started = True
            self._client.connect_async(self._parts.hostname or "", self._port, keepalive=_KEEPALIVE_S)
            self._client.loop_start()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
        except TimeoutError as error:
            why = f": {self._refused}" if self._refused else ""
            raise ToolUnreachable(f"the MQTT broker {self._name} cannot be reached{why}") from error

    async def publish(self, topic: str, body: str, qos: int, retain: bool, watch: Watch) -> None:
        """Send it; with QoS 1 and 2, wait until the broker has it. Errors: ToolUnreachable, ToolUnconfirmed."""
        if not watch.begin():
            raise asyncio.CancelledError
        if not self._client.is_connected():
            raise ToolUnreachable(f"the MQTT broker {self._name} is not connected")
        watch.unanswered = ToolUnconfirmed(f"the MQTT broker {self._name} did not take the message")
        info = self._client.publish(topic, body, qos=qos, retain=retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:  # paho keeps it, and may send it when the broker is back
            raise ToolUnconfirmed(f"the MQTT broker {self._name} is not connected")
        if qos:
            await self._acknowledgement(("publish", info.mid), f"the MQTT broker {self._name} did not take the message")

    @contextlib.asynccontextmanager
    async def listening(self, topic: str, listener: Listener) -> Any:
        """Subscribed while inside."""
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)
        try:
            code, mid = self._client.subscribe(topic, qos=1)
            if code != paho.MQTT_ERR_SUCCESS or mid is None:
                raise ToolUnreachable(f"the MQTT broker {self._name} is not connected")
            await self._acknowledgement(("subscribe", mid), f"{self._name} did not accept {topic}", ToolUnreachable)
            yield
        finally:
            listeners.remove(listener)
            if not listeners:
                self._listeners.pop(topic, None)
                self._client.unsubscribe(topic)

    async def _acknowledgement(
        self, key: tuple[str, int], otherwise: str, error: type[Exception] = ToolUnconfirmed
    ) -> None:
        future = self._waiting[key] = self._loop.create_future()
        try:
            async with asyncio.timeout(_ACK_S):
                await future
        except TimeoutError:
            raise error(otherwise) from None
        finally:
            self._waiting.pop(key, None)

    def _acknowledged(self, key: tuple[str, int]) -> None:
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result(None)

    def _on_connect(self, failed: bool, reason: str) -> None:
        if failed:
            self._refused = reason
            return
        self._refused = ""
        self._connected.set()
        for topic in self._listeners:
            self._client.subscribe(topic, qos=1)

    def _on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        for listener in list(self._listeners.get(topic, ())):
            listener(payload, retained)

    def close(self) -> None:
        """Blocks until paho's thread has ended."""
        self._client.disconnect()
        self._client.loop_stop()


def _no_delay(client: Any, userdata: Any, sock: Any) -> None:
    """Without it, a small message may wait 40 ms for an acknowledgement (Nagle's algorithm)."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

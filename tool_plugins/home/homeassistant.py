"""Home Assistant itself as the house: its areas, entities and aliases over the WebSocket API, in place of an MQTT broker.

https://developers.home-assistant.io/docs/api/websocket. It has the methods of `broker.Broker`, so that the house does not know
the difference: a topic is a service ("light/turn_on"), a payload its data, and a state change arrives as "hass/ENTITY".
Needs the package `websockets` (extra [homeassistant]) and a long-lived access token (Profile, Security).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Mapping
from typing import Any

from voice_needle.errors import ToolFailed, ToolUnreachable

from .connection import Connection
from .devices import Device
from .entities import Entities
from .house import House

_RETRY_S = (0.2, 5.0)
_REGISTRIES = ("area_registry_updated", "entity_registry_updated", "device_registry_updated")


class HomeAssistant(Connection):
    """One connection, kept up in the background. url: http(s)://HOST:PORT; token: never logged."""

    def __init__(self, url: str, token: str, log: logging.Logger, house: House) -> None:
        scheme, _, rest = url.rstrip("/").partition("://")
        if scheme not in ("http", "https") or not rest:
            raise ToolFailed(
                f"{url!r} is not the URL of Home Assistant", fix="set plugins.home.home_assistant to http://HOST:8123"
            )
        super().__init__()
        self._address = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/api/websocket"
        self._shown = url
        self._token = token
        self._log = log
        self._house = house
        self._ids = itertools.count(1)
        self._socket: Any = None
        self._devices: dict[str, Device] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loader: asyncio.Task[None] | None = None

    def _gone(self, why: str = "does not answer") -> ToolUnreachable:
        return ToolUnreachable(
            f"Home Assistant at {self._shown} {why}",
            fix=f"open {self._shown} in a browser",
            spoken="I cannot reach Home Assistant. Nothing was done.",
        )

    # --- the interface of Broker ---

    async def open(self) -> None:
        """Begin to connect, and keep trying. Errors: ToolFailed where `websockets` is not installed."""
        try:
            import websockets  # noqa: F401
        except ModuleNotFoundError as error:
            raise ToolFailed("websockets is not installed", fix="pip install 'voice-needle[homeassistant]'") from error
        self._spawn(self._keep_up())

    async def _ping(self) -> None:
        await self._ask({"type": "ping"})

    def publish(self, topic: str, payload: str | bytes) -> None:
        """Call a service: topic DOMAIN/SERVICE, payload its data with entity_id. Errors: ToolUnreachable."""
        if not self.up:
            raise self._gone()
        domain, _, service = topic.partition("/")
        self._spawn(self._serve(domain, service, json.loads(payload)))

    def subscribe(self, topics: list[str]) -> None:
        """Every state is subscribed to already."""

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- underneath ---

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, domain: str, service: str, data: dict[str, Any]) -> None:
        """Call a service and, when it has ended, read the entity's state again: an unchanged state makes no event."""
        try:
            await self._ask({"type": "call_service", "domain": domain, "service": service, "service_data": data})
            for state in await self._ask({"type": "get_states"}):
                if state.get("entity_id") == data.get("entity_id"):
                    self._told(state, fresh=True)
        except (ToolUnreachable, ToolFailed) as error:
            self._log.warning("%s.%s: %s", domain, service, error)

    async def _ask(self, message: Mapping[str, Any]) -> Any:
        """Errors: ToolUnreachable when the connection goes; ToolFailed when Home Assistant refuses."""
        number = next(self._ids)
        with self._question(number) as answer:
            try:
                await self._socket.send(json.dumps({"id": number, **message}))
                return await answer
            except OSError as error:
                raise self._gone() from error

    async def _keep_up(self) -> None:
        import websockets
        from websockets.asyncio.client import connect

        pause = _RETRY_S[0]
        while True:
            try:
                async with connect(self._address, max_size=2**26, open_timeout=5) as self._socket:
                    await self._log_in()
                    self._loader = asyncio.ensure_future(self._load())
                    pause = _RETRY_S[0]
                    async for text in self._socket:
                        self._received(json.loads(text))
            except (OSError, TimeoutError, ValueError, websockets.WebSocketException, ToolFailed) as error:
                self._log.info("no connection to %s: %s", self._shown, error)
            finally:
                self._lost()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_S[1])

    async def _log_in(self) -> None:
        async with asyncio.timeout(5):
            await self._socket.recv()  # auth_required
            await self._socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            if json.loads(await self._socket.recv()).get("type") != "auth_ok":
                raise ToolFailed("Home Assistant refuses the token", fix="voice-needle doctor")

    async def _load(self) -> None:
        """Read the registries and all states; then it is up."""
        try:
            async with asyncio.timeout(10):
                areas = await self._ask({"type": "config/area_registry/list"})
                devices = await self._ask({"type": "config/device_registry/list"})
                listed = await self._ask({"type": "config/entity_registry/list"})
                names = [entry["entity_id"] for entry in listed]  # the list leaves aliases out
                entries = await self._ask({"type": "config/entity_registry/get_entries", "entity_ids": names})
                entities = [entry for entry in entries.values() if entry]
                states = await self._ask({"type": "get_states"})
                for event in () if self.up else ("state_changed", *_REGISTRIES):
                    await self._ask({"type": "subscribe_events", "event_type": event})
        except (ToolUnreachable, ToolFailed, TimeoutError) as error:
            self._log.warning("Home Assistant did not tell what there is: %s", error)
            return
        found = Entities(areas, devices, entities)
        there = [device for state in states if (device := found.device(state)) is not None]
        self._house.take_entities(there, found.rooms)
        self._devices = {device.id: device for device in there}
        for state in states:
            self._told(state, fresh=False)
        self._is_up()

    def _received(self, message: Mapping[str, Any]) -> None:
        answer = self._open_question(int(message.get("id") or 0))
        kind = message.get("type")
        if kind == "event":
            event = message.get("event") or {}
            if event.get("event_type") in _REGISTRIES:
                self._loader = asyncio.ensure_future(self._load())
            elif isinstance(state := (event.get("data") or {}).get("new_state"), Mapping):
                self._told(state, fresh=True)
        elif answer is not None:
            if kind == "result" and not message.get("success"):
                answer.set_exception(ToolFailed(str((message.get("error") or {}).get("message"))))
            else:
                answer.set_result(message.get("result"))

    def _told(self, state: Mapping[str, Any], *, fresh: bool) -> None:
        device = self._devices.get(f"hass:{state.get('entity_id')}")
        if device is not None:
            device.online = state.get("state") != "unavailable"
            self._house.message(f"hass/{state['entity_id']}", json.dumps(state).encode(), not fresh)

    def _lost(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
        self._is_down("has closed the connection")

"""The house: every device that the broker tells of, the rooms they are in, and changes that count once the device has told so."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from voice_needle.errors import ToolUnconfirmed, ToolUnreachable

from . import discovery, zigbee2mqtt
from .devices import Device, State, fits

EVERYWHERE = "everywhere"
_ASK_AGAIN_S = 0.4
_RECONNECT_S = 0.5  # a broker that has just come back is waited for so long


class Link(Protocol):
    """The way to the devices: an MQTT broker, or Home Assistant. See connection.Connection and broker.Broker."""

    async def open(self) -> None: ...
    async def wait_up(self, seconds: float) -> bool: ...
    async def probe(self, seconds: float = 1.0) -> None: ...
    def publish(self, topic: str, payload: str | bytes) -> None: ...
    def subscribe(self, topics: list[str]) -> None: ...
    async def close(self) -> None: ...


@dataclass
class Change:
    """One device and what became of it.

    wanted: what is sent. expect: what it must report then, where that is not the same. judge: (before, reported so far) ->
    whether that is it, for what takes its time. before: what it reported before; told: it reported what was wanted; heard: it
    reported something, be it the old state.
    """

    device: Device
    wanted: State
    expect: State | None = None
    judge: Callable[[State, State], bool] | None = None
    before: State = field(default_factory=dict)
    told: bool = False
    heard: bool = False
    offline: bool = False

    @property
    def expected(self) -> State:
        return self.wanted if self.expect is None else self.expect

    def settled(self, seen: State) -> bool:
        return self.judge(self.before, seen) if self.judge else fits(self.expected, seen)


class House:
    """All devices, kept up to date by the broker's messages.

    rooms: value -> spoken forms of the rooms that have a name already. places: device id or name -> room, where the
    owner says so. answer_s: how long a device may take to report.
    """

    def __init__(
        self,
        log: logging.Logger,
        rooms: Mapping[str, Iterable[str]],
        places: Mapping[str, str],
        *,
        z2m_base: str = "zigbee2mqtt",
        discovery_prefix: str = "homeassistant",
        answer_s: float = 2.5,
    ) -> None:
        self.broker: Link | None = None
        self.areas: dict[str, list[str]] = {}  # rooms that Home Assistant has a name for
        self.answer_s = answer_s
        self._log = log
        self._rooms = {value: tuple(forms) for value, forms in rooms.items() if value != EVERYWHERE}
        self._places = dict(places)
        self._base = z2m_base
        self._prefix = discovery_prefix
        self._zigbee: dict[str, Device] = {}
        self._found: dict[str, Device] = {}  # by discovery topic
        self._entities: dict[str, Device] = {}
        self._by_topic: dict[str, list[Device]] = {}
        self._listeners: set[Callable[[Device, State], None]] = set()

    # --- what is there ---

    @property
    def devices(self) -> list[Device]:
        """Every device once: what zigbee2mqtt also announces by discovery is taken from zigbee2mqtt."""
        known = {name for device in self._zigbee.values() for name in device.same_as}
        return [
            *self._entities.values(),
            *self._zigbee.values(),
            *(d for d in self._found.values() if not d.same_as & known),
        ]

    def select(self, kind: str | tuple[str, ...], room: str = EVERYWHERE, key: str = "") -> list[Device]:
        """The devices of a kind in a room, those that can set or tell `key` only."""
        kinds = (kind,) if isinstance(kind, str) else kind
        return [
            device
            for device in self.devices
            if device.kind in kinds and room in (EVERYWHERE, device.room) and (not key or key in device.channels)
        ]

    def named(self, value: str) -> Device | None:
        return next((device for device in self.devices if device_value(device) == value), None)

    def room_of(self, device: Device, hint: str) -> str:
        """The owner's word, else the hint (a suggested area, a description), else a room named in the device's name."""
        for key in (device.id, device.name, device.name.lower()):
            if key in self._places:
                return self._places[key]
        if device.convention == "discovery" and hint:  # "Guest Bathroom" is not the bathroom
            named = (value for value, forms in self._rooms.items() if plain(hint) in map(plain, forms))
            return next(named, slug(hint))
        for text in (hint, device.name):
            words = f" {plain(text)} "
            fitting = [
                (len(form), value)
                for value, forms in self._rooms.items()
                for form in forms
                if f" {plain(form)} " in words
            ]
            if fitting:
                return max(fitting)[1]
        return ""

    async def ready(self) -> None:
        """Errors: ToolUnreachable when the broker does not answer; nothing was sent."""
        assert self.broker is not None
        await self.broker.wait_up(_RECONNECT_S)
        await self.broker.probe()

    # --- messages ---

    def connected(self) -> None:
        """Subscribe to everything: the broker forgets with the connection."""
        assert self.broker is not None
        self.broker.subscribe([f"{self._prefix}/#", f"{self._base}/#", *self._own_topics(self._found.values())])

    def _own_topics(self, devices: Iterable[Device]) -> list[str]:
        prefixes = (f"{self._base}/", f"{self._prefix}/")
        return sorted({topic for device in devices for topic in device.topics() if not topic.startswith(prefixes)})

    def message(self, topic: str, payload: bytes, retained: bool) -> None:
        if zigbee2mqtt.is_device_list(topic, self._base):
            self._zigbee_list(payload)
        elif discovery.is_config(topic, self._prefix):
            self._config(topic, payload)
        for device in self._by_topic.get(topic, ()):
            told = device.read(topic, payload)
            if told and not retained:
                for listener in list(self._listeners):
                    listener(device, told)

    def take_entities(self, devices: list[Device], areas: Mapping[str, list[str]]) -> None:
        """All of Home Assistant's entities; an area that is called as a known room is that room."""
        rooms = {area: self._area_room(area, forms) for area, forms in areas.items()}
        self.areas = {room: list(areas[area]) for area, room in rooms.items()}
        for device in devices:
            device.room = self._places.get(device.name) or rooms.get(device.room, "") or self.room_of(device, "")
        self._entities = {device.id: device for device in devices}
        self._index()

    def _area_room(self, area: str, forms: list[str]) -> str:
        called = {plain(form) for form in forms}
        return next((value for value, known in self._rooms.items() if called & set(map(plain, known))), area)

    def _zigbee_list(self, payload: bytes) -> None:
        devices = zigbee2mqtt.read_devices(payload, self._base)
        if devices is None:
            self._log.warning("%s/bridge/devices is not a list of devices; the old one is kept", self._base)
            return
        before, self._zigbee = self._zigbee, {}
        for device in devices:
            device.room = self.room_of(device, device.room)
            if device.id in before:
                device.state, device.online = before[device.id].state, before[device.id].online
            self._zigbee[device.id] = device
        self._index()

    def _config(self, topic: str, payload: bytes) -> None:
        old = self._found.pop(topic, None)
        if payload:
            device = discovery.read_config(topic, payload, self._prefix)
            if device is None:
                self._log.info("%s announces nothing that can be used", topic)
            else:
                device.room = self.room_of(device, device.room)
                if old is not None:
                    device.state, device.online = old.state, old.online
                self._found[topic] = device
                if self.broker is not None:
                    self.broker.subscribe(self._own_topics([device]))
        self._index()

    def _index(self) -> None:
        self._by_topic = {}
        for device in (*self._entities.values(), *self._zigbee.values(), *self._found.values()):
            for topic in device.topics():
                self._by_topic.setdefault(topic, []).append(device)

    # --- changes ---

    async def apply(self, changes: list[Change]) -> None:
        """Send every change, and wait until each device has told that it is so, or time is up. Sets `told` of each.

        Errors: ToolUnreachable when the broker does not answer: then nothing was sent.
        """
        assert self.broker is not None
        await self.broker.probe()
        for change in changes:
            keys = change.wanted.keys() | change.expected.keys()
            change.before = {key: change.device.state[key] for key in keys if key in change.device.state}
            change.offline = not change.device.online
        sent = [change for change in changes if not change.offline]
        waits = [asyncio.ensure_future(self._watched(change)) for change in sent]
        await asyncio.sleep(0)  # every listener is in place before the first message leaves
        try:
            for number, change in enumerate(sent):
                try:
                    for topic, payload in change.device.commands(change.wanted):
                        self.broker.publish(topic, payload)
                except ToolUnreachable:
                    if number == 0:
                        raise
                    break  # some were sent: what they tell decides what is said
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def _watched(self, change: Change) -> None:
        """Wait for the report; then, where the device can be asked, ask it: an echo of the command is not the lamp."""
        seen: State = {}
        reported = asyncio.Event()

        def listen(device: Device, report: State) -> None:
            if device is change.device and change.expected.keys() & report.keys():
                seen.update(report)
                change.heard = True
                change.told = change.settled(seen)
                reported.set()

        self._listeners.add(listen)
        try:
            async with asyncio.timeout(self.answer_s):
                while not change.told:
                    reported.clear()
                    await reported.wait()
                await self._read_back(change, reported)
        except TimeoutError:
            pass
        finally:
            self._listeners.discard(listen)

    async def _read_back(self, change: Change, reported: asyncio.Event) -> None:
        questions = change.device.questions(change.expected)
        answered = not questions
        while not (answered and change.told):
            reported.clear()
            try:
                self._ask(questions)
                await asyncio.wait_for(reported.wait(), _ASK_AGAIN_S)
                answered = True
            except (TimeoutError, ToolUnreachable):
                if not answered:
                    return  # it reported, and cannot be asked just now
            if not change.told:  # under way (a blind, a fade), or not true: ask again until time is up
                await asyncio.sleep(_ASK_AGAIN_S)

    def _ask(self, questions: list[tuple[str, str]]) -> None:
        assert self.broker is not None
        for topic, payload in questions:
            self.broker.publish(topic, payload)

    async def fire(self, device: Device, wanted: State) -> int:
        """Send what no state is reported of, such as a scene; how many other devices told something then.

        Errors: ToolUnreachable (nothing was sent), ToolUnconfirmed (nobody told anything).
        """
        assert self.broker is not None
        await self.broker.probe()
        reporters: set[str] = set()
        heard = asyncio.Event()

        def listen(reporter: Device, report: State) -> None:
            reporters.add(reporter.id)
            heard.set()

        self._listeners.add(listen)
        try:
            for topic, payload in device.commands(wanted):
                self.broker.publish(topic, payload)
            await asyncio.wait_for(heard.wait(), self.answer_s)
        except TimeoutError:
            spoken = "I sent it, but no device answered."
            raise ToolUnconfirmed(f"nothing was reported after {device.name}", spoken=spoken) from None
        finally:
            self._listeners.discard(listen)
        return len(reporters)

    async def refresh(self, devices: list[Device], keys: Iterable[str]) -> None:
        """Ask the devices for `keys`, as far as they can be asked, and wait a moment for their answers."""
        assert self.broker is not None
        await self.broker.probe()
        waiting: set[str] = set()
        done = asyncio.Event()

        def listen(reporter: Device, report: State) -> None:
            waiting.discard(reporter.id)
            if not waiting:
                done.set()

        self._listeners.add(listen)
        try:
            for device in devices:
                questions = device.questions(keys) if device.online else []
                if questions:
                    waiting.add(device.id)
                    self._ask(questions)
            if waiting:
                await asyncio.wait_for(done.wait(), self.answer_s / 2)
        except (TimeoutError, ToolUnreachable):
            self._log.info("no answer from %s", ", ".join(sorted(waiting)))
        finally:
            self._listeners.discard(listen)


# --- names -----------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Words only: "Living_Room/Floor-Lamp" -> "living room floor lamp"."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def slug(text: str) -> str:
    return plain(text).replace(" ", "_")


def device_value(device: Device) -> str:
    """The value of a device in the vocabularies."""
    return slug(device.name)

"""The home through a real Home Assistant, where one is installed: set VOICE_NEEDLE_HASS to its `hass` program.

python3.11 -m venv ha && ha/bin/pip install homeassistant==2024.3.3
VOICE_NEEDLE_HASS=ha/bin/hass pytest tests/flows/test_home_assistant.py
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voice_needle.assembly import Tooling, open_registry, open_tooling
from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.evaluation.mosquitto import free_port
from voice_needle.events import Call, Status, ToolResult

HASS = os.environ.get("VOICE_NEEDLE_HASS", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HASS, reason="VOICE_NEEDLE_HASS names no hass program")]

CONFIGURATION = """
http: {{server_host: 127.0.0.1, server_port: {port}}}
api:
websocket_api:
auth:
config:
input_boolean: {{lamp: {{name: Lamp relay}}, relay: {{name: Coffee relay}}}}
input_number: {{level: {{min: 0, max: 255, initial: 100}}}}
light:
  - platform: template
    lights:
      kitchen_lamp:
        friendly_name: Kitchen lamp
        unique_id: kitchen_lamp
        value_template: "{{{{ is_state('input_boolean.lamp', 'on') }}}}"
        level_template: "{{{{ states('input_number.level') | int }}}}"
        turn_on: {{service: input_boolean.turn_on, target: {{entity_id: input_boolean.lamp}}}}
        turn_off: {{service: input_boolean.turn_off, target: {{entity_id: input_boolean.lamp}}}}
        set_level:
          - service: input_number.set_value
            target: {{entity_id: input_number.level}}
            data: {{value: "{{{{ brightness }}}}"}}
          - {{service: input_boolean.turn_on, target: {{entity_id: input_boolean.lamp}}}}
      liar:
        friendly_name: Attic lamp
        unique_id: liar
        value_template: "{{{{ false }}}}"
        turn_on: []
        turn_off: []
"""


class Hass:
    """A Home Assistant of its own, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        subprocess.run([HASS, "--script", "auth", "-c", str(folder), "add", "owner", "secret"], check=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def _spawn(self) -> None:
        with (self._folder / "out.log").open("ab") as out:
            self._process = subprocess.Popen([HASS, "-c", str(self._folder)], stdout=out, stderr=out)

    async def start(self) -> None:
        self._spawn()
        async with asyncio.timeout(240):
            while True:
                try:
                    await asyncio.to_thread(self._log_in)
                    return
                except OSError:
                    await asyncio.sleep(0.2)

    def _post(self, path: str, data: Any, *, form: bool = False) -> Any:
        body = (data if form else json.dumps(data)).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _log_in(self) -> None:
        client = f"{self.url}/"
        handler = {"client_id": client, "handler": ["homeassistant", None], "redirect_uri": client}
        flow = self._post("/auth/login_flow", handler)["flow_id"]
        done = self._post(f"/auth/login_flow/{flow}", {"client_id": client, "username": "owner", "password": "secret"})
        form = f"grant_type=authorization_code&code={done['result']}&client_id={client}"
        self.token = self._post("/auth/token", form, form=True)["access_token"]

    def state(self, entity: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/api/states/{entity}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.load(answer))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hass")


@pytest.fixture(scope="module")
def hass(folder: Path) -> Iterator[Hass]:
    running = Hass(folder)
    asyncio.run(running.start())
    yield running
    running.stop()


@asynccontextmanager
async def _tooling(hass: Hass, folder: Path) -> AsyncIterator[Tooling]:
    settings = {"home_assistant": hass.url, "token": hass.token, "answer_s": 2.0}
    config = replace(Config(), data_dir=folder, plugins={"home": settings})
    async with open_tooling(config, RealClock(), registry=open_registry(config, ["home"])) as tooling:
        yield tooling


async def _do(tooling: Tooling, tool: str, **arguments: Any) -> ToolResult:
    return (await tooling.dispatcher.execute([Call(tool, arguments)]))[0]


async def test_areas_and_aliases_become_words(hass: Hass, tmp_path: Path) -> None:
    async with _tooling(hass, tmp_path) as tooling:
        link = tooling.hosts.host("home").context.state["house"].broker
        area = await link._ask(
            {"type": "config/area_registry/create", "name": "Winter garden", "aliases": ["orangery"]}
        )
        entry = {"entity_id": "input_boolean.relay", "area_id": area["area_id"], "aliases": ["espresso thing"]}
        await link._ask({"type": "config/entity_registry/update", **entry})
        async with asyncio.timeout(10):
            while "espresso thing" not in _spoken(tooling, "device_switch", "device").get("coffee_relay", ()):
                await tooling.dispatcher.refresh()
                await asyncio.sleep(0.05)
        assert _spoken(tooling, "light_switch", "room")["winter_garden"] == ["winter garden", "orangery"]
        assert (await _do(tooling, "device_switch", device="coffee_relay", state="on")).ok
        assert hass.state("input_boolean.relay")["state"] == "on"


def _spoken(tooling: Tooling, tool: str, parameter: str) -> dict[str, list[str]]:
    return dict(tooling.registry.tool(tool).properties[parameter]["x-spoken"])


async def test_switch_level_and_undo(hass: Hass, tmp_path: Path) -> None:
    async with _tooling(hass, tmp_path) as tooling:
        assert (await _do(tooling, "light_switch", room="kitchen", state="on")).ok
        assert hass.state("input_boolean.lamp")["state"] == "on"
        assert (await _do(tooling, "light_switch", room="kitchen", state="on")).ok  # also where nothing changes
        assert (await _do(tooling, "light_level", room="kitchen", level=40)).ok
        assert hass.state("light.kitchen_lamp")["attributes"]["brightness"] == 102
        assert (await tooling.dispatcher.undo()).ok
        assert hass.state("light.kitchen_lamp")["attributes"]["brightness"] == 100
        answer = await _do(tooling, "light_state", room="kitchen")
        assert answer.values["answer"] == "The kitchen light is on, at 39 percent."


async def test_a_lamp_that_does_nothing(hass: Hass, tmp_path: Path) -> None:
    async with _tooling(hass, tmp_path) as tooling:
        result = await _do(tooling, "light_switch", room="attic", state="on")
        assert result.status is Status.UNCONFIRMED
        assert result.error == "I sent it, but the attic lamp did not change."


async def test_down_and_up_again(hass: Hass, tmp_path: Path) -> None:
    async with _tooling(hass, tmp_path) as tooling:
        assert (await _do(tooling, "light_switch", room="kitchen", state="on")).ok
        hass.stop()
        result = await _do(tooling, "light_switch", room="kitchen", state="off")
        assert (result.status, result.error) == (
            Status.UNREACHABLE, "I cannot reach Home Assistant. Nothing was done.",
        )  # fmt: skip
        await hass.start()
        async with asyncio.timeout(60):
            while not (await _do(tooling, "light_switch", room="kitchen", state="on")).ok:
                await asyncio.sleep(0.5)
                tooling.hosts.breaker("home").record(Status.OK)
        assert hass.state("input_boolean.lamp")["state"] == "on"

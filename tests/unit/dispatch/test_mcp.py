"""The MCP handler against a real MCP server, over its standard streams and over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispatch_desk import Desk, until

from voice_needle.events import Call, Status
from voice_needle.tools import Confirm

pytest.importorskip("mcp")

SERVER = """
import os, sys
from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations
server = FastMCP("notes", host="127.0.0.1", port=int(os.environ.get("PORT", "0")), log_level="ERROR")

@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

@server.tool()
def erase(name: str) -> str:
    "Erase a note."
    return f"{name} is gone"

@server.tool(name="notes.broken", annotations=ToolAnnotations(destructiveHint=False))
def broken() -> str:
    raise ValueError("no notes today")

@server.tool(annotations=ToolAnnotations(destructiveHint=False))
def pid() -> str:
    return str(os.getpid())

@server.tool(annotations=ToolAnnotations(destructiveHint=False))
def die() -> str:
    os._exit(1)

server.run(sys.argv[1])
"""

STDIO = f"""
mcp: {{command: ["{sys.executable}", server.py, stdio]}}
tools:
  plus:
    description: Add two numbers.
    parameters: {{a: {{type: integer}}, b: {{type: integer}}}}
    sentences: ["what is {{a}} plus {{b}}"]
    handler: {{mcp: {{tool: add}}}}
    policy: {{confirm: never, changes_state: false, timeout_ms: 10000}}
"""


async def test_a_servers_tools_become_tools(desk: Desk) -> None:
    desk.plugin("notes", STDIO, **{"server.py": SERVER})
    desk.open()
    assert await desk.dispatcher.refresh()
    tools = desk.registry.toolset()
    assert set(tools) == {"plus", "erase", "notes_broken", "pid", "die"}  # add is declared, as plus
    assert tools["erase"].policy.confirm is Confirm.ALWAYS and tools["erase"].required == ("name",)
    (plus,) = await desk.do(Call("plus", {"a": 3, "b": 4}))
    assert (plus.status, plus.values["text"], plus.values["result"]) == (Status.OK, "7", 7)
    unconfirmed, wrong = (await desk.do(Call("erase", {"name": "x"})))[0], (await desk.do(Call("plus", {"a": "x"})))[0]
    assert (unconfirmed.status, wrong.status) == (Status.REFUSED, Status.REFUSED)
    (erased,) = await desk.do(Call("erase", {"name": "milk"}), confirmed=True)
    assert erased.values["text"] == "milk is gone"
    assert (await desk.do("notes_broken"))[0].status is Status.FAILED


async def test_a_server_that_dies_is_started_again(desk: Desk) -> None:
    desk.plugin("notes", STDIO, **{"server.py": SERVER})
    desk.open()
    await desk.dispatcher.refresh()
    (first,) = await desk.do("pid")
    assert (await desk.do("die"))[0].status is Status.TIMEOUT  # it may have happened
    (second,) = await desk.do("pid")
    assert second.ok and second.values["text"] != first.values["text"]


async def test_a_server_that_is_not_there(desk: Desk) -> None:
    desk.plugin("notes", 'mcp: {command: ["/no/such/server"]}')
    desk.open()
    assert not await desk.dispatcher.refresh()
    assert list(desk.registry.toolset()) == []


@pytest.fixture
def over_http(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "server.py").write_text(SERVER)
    argv = [sys.executable, str(tmp_path / "server.py"), "streamable-http"]
    with subprocess.Popen(argv, env={**os.environ, "PORT": str(port)}, start_new_session=True) as process:
        yield port
        os.killpg(process.pid, signal.SIGKILL)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_server_over_http(desk: Desk, over_http: int) -> None:
    await until(lambda: _listening(over_http))
    desk.plugin("notes", f'mcp: {{url: "http://127.0.0.1:{over_http}/mcp", only: [add]}}')
    desk.open()
    assert await desk.dispatcher.refresh()
    assert set(desk.registry.toolset()) == {"add"}
    (result,) = await desk.do(Call("add", {"a": 1, "b": 2}))
    assert result.values["text"] == "3"

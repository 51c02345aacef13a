"""Commands and HTTP requests against real programs and a real server."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dispatch_desk import Desk, until

from voice_needle.events import Call, Status


def tool(handler: str, policy: str = "confirm: never", parameters: str = "{name: {type: string}}") -> str:
    return f"""
settings: {{base: {{default: "http://127.0.0.1:1"}}, token: {{default: t0ken}}}}
tools:
  act: {{description: Act., parameters: {parameters}, handler: {handler}, policy: {{{policy}}}}}
"""


async def act(desk: Desk, **arguments: Any) -> Any:
    return (await desk.do(Call("act", arguments)))[0]


# --- command ---


async def test_a_command_is_never_a_shell(desk: Desk) -> None:
    desk.plugin("x", tool('{command: {argv: [echo, "hello {name}", "$HOME"], answer: text}}'))
    desk.open()
    nasty = "a; touch /tmp/never $(id) `id` 'q\" | cat"
    assert (await act(desk, name=nasty)).values == {"text": f"hello {nasty} $HOME"}


async def test_a_value_cannot_become_an_option(desk: Desk) -> None:
    desk.plugin("x", tool('{command: [ls, "{name}"]}'))
    desk.open()
    assert (await act(desk, name="--help")).status is Status.REFUSED
    desk.plugin("x", tool('{command: [echo, "{n}"]}', parameters="{n: {type: number}}"))
    await desk.dispatcher.reload()
    assert (await act(desk, n=-3)).ok


async def test_a_command_answers_with_json_or_fails(desk: Desk) -> None:
    script = "import json,sys; print(json.dumps({'status': sys.argv[1], 'count': 3}))"
    desk.plugin("x", tool(f"{{command: {{argv: [python3, -c, {json.dumps(script)}, '{{name}}'], answer: json}}}}"))
    desk.open()
    result = await act(desk, name="not_found")
    assert (result.status, result.values) == (Status.NOT_FOUND, {"count": 3})
    assert (await act(desk, name="nonsense")).status is Status.FAILED


@pytest.mark.parametrize("argv", ['[sh, -c, "exit 3"]', "[/no/such/program]"])
async def test_a_command_that_fails(desk: Desk, argv: str) -> None:
    desk.plugin("x", tool(f"{{command: {argv}}}"))
    desk.open()
    assert (await act(desk, name="x")).status is Status.FAILED


async def test_past_its_limit_a_command_dies_with_all_it_started(desk: Desk) -> None:
    pids = desk.folder / "pids"
    script = f"sleep 100 & echo $! > {pids}.new; mv {pids}.new {pids}; wait"
    desk.plugin("x", tool(f"{{command: [sh, -c, {json.dumps(script)}]}}", "confirm: never, timeout_ms: 1500"))
    desk.open()
    result = await act(desk, name="x")
    assert result.status is Status.TIMEOUT
    child = int(pids.read_text())
    await until(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def test_a_command_sees_no_more_of_the_environment_than_it_needs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_ASSISTANT", "x")
    handler = '{command: {argv: [env], environment: {TOKEN: "{settings.token}"}, answer: text}}'
    desk.plugin("x", tool(handler))
    desk.open()
    text = (await act(desk, name="x")).values["text"]
    assert "TOKEN=t0ken" in text and "SECRET_OF" not in text and f"PATH={os.environ['PATH']}" in text


# --- http ---


class Service(http.server.ThreadingHTTPServer):
    """A light that can be slow, broken or lying."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.mode = "good"
        self.gate = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        mode = self.server.mode
        if mode == "slow":
            self.server.gate.wait(10)
        if mode == "drops":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        answer = {"state": "on" if mode != "lies" else "off", "old": {"state": "off"}}
        text = b"<html>" if mode == "garbage" else json.dumps(answer).encode()
        self.send_response(int(mode) if mode.isdigit() else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        threading.Thread(target=service.serve_forever, args=(0.02,), daemon=True).start()
        yield service
        service.gate.set()
        service.shutdown()


LIGHT = """{http: {method: POST, url: "{settings.base}/lights/{name}?q={name}", headers: {Authorization: "Bearer {settings.token}"},
  json: {state: "on", level: "{level}", name: "{name}"}, expect: {state: "on"}, result: {previous: old.state}}}"""
PARAMETERS = "{name: {type: string}, level: {type: number, required: false}}"


def light(desk: Desk, service: Service, policy: str = "confirm: never") -> Desk:
    desk.settings = {"x": {"base": service.base}}
    desk.plugin("x", tool(LIGHT, policy, PARAMETERS))
    return desk.open()


async def test_a_request_is_sent_as_declared(desk: Desk, service: Service) -> None:
    light(desk, service)
    result = await act(desk, name="a b/../c", level=40)
    assert (result.status, result.values) == (Status.OK, {"previous": "off"})
    ((method, path, headers, body),) = service.seen
    assert (method, path) == ("POST", "/lights/a%20b%2F..%2Fc?q=a%20b%2F..%2Fc")
    assert headers["Authorization"] == "Bearer t0ken" and headers["Idempotency-Key"] == f"{desk.ledger.uid}-1"
    assert json.loads(body) == {"state": "on", "level": 40, "name": "a b/../c"}
    await act(desk, name="x")
    assert "level" not in json.loads(service.seen[1][3])  # not given, so not sent


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("404", Status.NOT_FOUND),
        ("409", Status.BUSY),
        ("503", Status.BUSY),
        ("401", Status.REFUSED),
        ("500", Status.FAILED),
        ("302", Status.FAILED),
        ("lies", Status.UNCONFIRMED),
        ("garbage", Status.UNCONFIRMED),
        ("drops", Status.TIMEOUT),
    ],
)
async def test_what_the_service_does_is_told(desk: Desk, service: Service, mode: str, status: Status) -> None:
    light(desk, service)
    service.mode = mode
    assert (await act(desk, name="x")).status is status


async def test_a_slow_service_is_unknown(desk: Desk, service: Service) -> None:
    light(desk, service, "confirm: never, timeout_ms: 200")
    service.mode = "slow"
    assert (await act(desk, name="x")).status is Status.TIMEOUT
    assert len(service.seen) == 1


async def test_nobody_there_means_nothing_was_done(desk: Desk) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        desk.settings = {"x": {"base": f"http://127.0.0.1:{held.getsockname()[1]}"}}
        desk.plugin("x", tool(LIGHT, "confirm: never", PARAMETERS))
        desk.open()
        assert (await act(desk, name="x")).status is Status.UNREACHABLE


async def test_a_silent_connection_attempt_means_nothing_was_done(desk: Desk) -> None:
    with socket.socket() as full:  # a full backlog: connecting never ends
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(3)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        desk.settings = {"x": {"base": f"http://127.0.0.1:{full.getsockname()[1]}"}}
        desk.plugin("x", tool(LIGHT, "confirm: never, timeout_ms: 300", PARAMETERS))
        desk.open()
        begun = time.monotonic()
        assert (await act(desk, name="x")).status is Status.UNREACHABLE
        assert time.monotonic() - begun < 5
        for one in held:
            one.close()

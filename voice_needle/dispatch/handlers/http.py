"""Makes an HTTP request to a service on the local network.

    handler:
      http:
        method: POST                                   # default GET
        url: "{settings.base}/lights/{room}"           # parameters are percent-encoded
        headers: {Authorization: "Bearer {settings.token}"}
        json: {state: "{state}", level: "{level}"}     # or body: text; a parameter alone keeps its type
        expect: {state: "{state}"}                     # paths in the answer that must hold this, or it is unconfirmed
        result: {previous: old.state}                  # value -> path in the JSON answer

Standard library only, one thread for each request. What a status means: 404 and 410 not found; 409, 423, 429 and 503 busy;
401 and 403 refused; any other from 400 failed. A connection that cannot be made did nothing; one that breaks after the
request was sent may have.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from voice_needle.dispatch.handlers.template import Filler, as_text, pick
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolFailed, ToolRefused, ToolTimeout, ToolUnconfirmed, ToolUnreachable
from voice_needle.events import Status
from voice_needle.plugin import Context, Result

_MOST_ANSWER = 1 << 20
_STATUS = {
    404: Status.NOT_FOUND, 410: Status.NOT_FOUND,
    409: Status.BUSY, 423: Status.BUSY, 429: Status.BUSY, 503: Status.BUSY,
}  # fmt: skip


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout_s: float


async def call(
    context: Context, declared: Mapping[str, Any], arguments: Mapping[str, Any], watch: Watch, timeout_s: float
) -> Result:
    """Send it and read the answer. Errors: ToolUnreachable, ToolTimeout, ToolRefused, ToolFailed, ToolUnconfirmed."""
    request = _request(context, declared, arguments, timeout_s)
    status, body = await _in_thread(request, watch)
    if status in _STATUS:
        return Result(_STATUS[status], http_status=status)
    if status in (401, 403):
        raise ToolRefused(f"{request.url} refused access ({status})", spoken="It does not let me in.")
    if not 200 <= status < 300:
        raise ToolFailed(f"{request.url} answered with status {status}")
    return _result(declared, Filler(context, arguments), body, request)


def _request(context: Context, declared: Mapping[str, Any], arguments: Mapping[str, Any], timeout_s: float) -> _Request:
    filler = Filler(context, arguments)
    headers = {name: filler.text(value) for name, value in (declared.get("headers") or {}).items()}
    if any("\n" in value or "\r" in value for value in headers.values()):
        raise ToolFailed("a header may not hold a line break")
    body: bytes | None = None
    if "json" in declared:
        body = json.dumps(filler.deep(declared["json"])).encode()
        headers.setdefault("Content-Type", "application/json")
    elif "body" in declared:
        body = filler.text(declared["body"]).encode()
    headers.setdefault("Idempotency-Key", context.call_id)
    url = filler.text(declared["url"], encode=lambda text: quote(text, safe=""))
    return _Request(declared.get("method", "GET"), url, headers, body, timeout_s)


async def _in_thread(request: _Request, watch: Watch) -> tuple[int, bytes]:
    """The request in a daemon thread of its own; cancelling closes the connection."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[int, bytes]] = loop.create_future()
    connection = _connection(request)

    def settle(answer: tuple[int, bytes] | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(answer or (0, b""))

    def work() -> None:
        answer, error = None, None
        try:
            answer = _exchange(connection, request, watch)
        except BaseException as caught:  # handed to whoever waits
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, answer, error)

    threading.Thread(target=work, name="http", daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        raise


def _connection(request: _Request) -> http.client.HTTPConnection:
    parts = urlsplit(request.url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host:
        raise ToolFailed(f"{request.url} is not an http address", fix="voice-needle tools check")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=request.timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=request.timeout_s)


def _exchange(connection: http.client.HTTPConnection, request: _Request, watch: Watch) -> tuple[int, bytes]:
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        try:
            watch.unanswered = ToolUnreachable(f"{parts.netloc} cannot be reached")
            connection.connect()
        except OSError as error:
            raise ToolUnreachable(f"{parts.netloc} cannot be reached: {error}") from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not watch.begin():
            raise ToolUnreachable(f"{parts.netloc}: given up before anything was sent")
        watch.unanswered = None
        try:
            connection.request(request.method, path, body=request.body, headers=dict(request.headers))
            response = connection.getresponse()
            return response.status, response.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise ToolTimeout(f"{parts.netloc} did not answer: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _result(declared: Mapping[str, Any], filler: Filler, body: bytes, request: _Request) -> Result:
    wanted: Mapping[str, str] = declared.get("result") or {}
    expected: Mapping[str, Any] = declared.get("expect") or {}
    if not wanted and not expected:
        return Result()
    try:
        document = json.loads(body)
        for path, template in expected.items():
            found, want = pick(document, path), filler.deep(template)
            if as_text(found) != as_text(want):
                raise ToolUnconfirmed(f"{request.url}: {path} is {found!r}, not {want!r}")
        return Result(**{name: pick(document, path) for name, path in wanted.items()})
    except (ValueError, KeyError) as error:
        what = f"{request.url} answered something else than declared: {error}"
        if request.method == "GET":
            raise ToolFailed(what, spoken="It gave me an answer that I cannot read.") from error
        raise ToolUnconfirmed(what) from error

"""A larger model on the local network, asked only where it is configured: any endpoint that speaks OpenAI's chat completions.

Off unless `url` is set, and only a private, loopback or link-local address is accepted: no words leave the house. Its answer is
proposed like any engine's: guards and gate judge it, and it never sees words that the guards refused.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from voice_needle.errors import ConfigError
from voice_needle.events import Call, Decision, Outcome, RouteContext, Transcript
from voice_needle.tools import Toolset

_LOG = logging.getLogger(__name__)
_SYSTEM = (
    "Turn the user's words into calls of the given functions. Call nothing unless the words ask for it and a function does exactly "
    "that. Use only values that were said. The words come from a speech recogniser."
)
_LARGEST_ANSWER = 1 << 20


@dataclass(frozen=True)
class Endpoint:
    """Where and how. confidence: what an answer counts for at the gate, since such models state none (0 to 1)."""

    url: str  # up to and without /chat/completions, such as http://192.168.1.20:8080/v1
    model: str = "default"
    key: str = ""
    timeout_ms: int = 4000
    confidence: float = 0.8


class EscalateRouter:
    """Asks the endpoint. Errors: ConfigError at construction when the address is not on the local network."""

    name = "escalate"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        _require_local(endpoint.url)
        self._opener = build_opener(ProxyHandler({}))  # a proxy would carry the words elsewhere
        self._names: dict[str, str] = {}

    def prepare(self, tools: Toolset) -> None:
        """Nothing is sent before it is needed."""

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """The endpoint's calls; declines when it is slow, unreachable or answers nonsense, and says so in the log and the reason."""
        started = time.perf_counter()
        names = {name.replace(".", "_"): name for name in tools}
        try:
            answer = self._ask(transcript.text, tools, context)
            calls = _calls(answer, names)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, HTTPException) as problem:
            _LOG.warning("the local endpoint did not help: %s", problem)
            return Decision(reason=f"escalation failed: {type(problem).__name__}", router=self.name)
        elapsed = (time.perf_counter() - started) * 1000
        if not calls:
            return Decision(reason="no tool fits", router=self.name, elapsed_ms=elapsed)
        return Decision(
            calls, Outcome.ACT, self._endpoint.confidence, reason="escalated", router=self.name, elapsed_ms=elapsed
        )

    def _ask(self, text: str, tools: Toolset, context: RouteContext) -> Mapping[str, Any]:
        functions = [
            {"type": "function", "function": {**tool.schema(), "name": name.replace(".", "_")}}
            for name, tool in tools.items()
        ]
        where = f" The device stands in the {context.room.replace('_', ' ')}." if context.room else ""
        body = {
            "model": self._endpoint.model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": f"{_SYSTEM} It is {context.now:%A, %d %B %Y, %H:%M}.{where}"},
                {"role": "user", "content": text},
            ],
            "tools": functions,
        }
        headers = {"Content-Type": "application/json"}
        if self._endpoint.key:
            headers["Authorization"] = f"Bearer {self._endpoint.key}"
        url = self._endpoint.url.rstrip("/") + "/chat/completions"
        request = Request(url, json.dumps(body, default=str).encode(), headers)
        with self._opener.open(request, timeout=self._endpoint.timeout_ms / 1000) as response:
            found = json.loads(response.read(_LARGEST_ANSWER))
        message = found["choices"][0]["message"]
        if not isinstance(message, Mapping):
            raise ValueError("the answer holds no message")
        return message


def _calls(message: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Call, ...]:
    calls = []
    for item in message.get("tool_calls") or ():
        function = item["function"]
        arguments = function.get("arguments") or {}
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if not isinstance(arguments, Mapping):
            raise ValueError("arguments are not an object")
        name = names.get(function["name"], function["name"])
        calls.append(Call(name, dict(arguments), {key: str(value) for key, value in arguments.items()}))
    return tuple(calls)


def _require_local(url: str) -> None:
    """Errors: ConfigError unless every address of the URL's host is loopback, private or link-local."""
    parts = urlsplit(url)
    fix = "set router.escalate.url to a machine on your own network, such as http://192.168.1.20:8080/v1"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"The escalation address {url!r} is not an http URL.", fix=fix)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise ConfigError(f"The escalation host {parts.hostname!r} is not known here: {problem}", fix=fix) from problem
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).split("%")[0])
        if not (ip.is_private or ip.is_loopback or ip.is_link_local):
            raise ConfigError(f"The escalation host {parts.hostname!r} is outside the local network.", fix=fix)

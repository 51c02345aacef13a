"""Engines in order of trust; guards and gate over each; the network only at the end."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from route_house import NOW, TOOLS, light, route

from voice_needle.errors import ConfigError
from voice_needle.events import Call, Decision, Outcome, RouteContext, Transcript
from voice_needle.route import ROUTERS, get_router
from voice_needle.route.cascade import Cascade
from voice_needle.route.escalate import Endpoint, EscalateRouter
from voice_needle.route.templates import TemplateRouter
from voice_needle.tools import Toolset

CONTEXT = RouteContext(now=NOW)


class Scripted:
    """An engine that always proposes the same, and counts how often it was asked."""

    def __init__(self, name: str, decision: Decision) -> None:
        self.name = name
        self.asked = 0
        self._decision = decision

    def prepare(self, tools: Toolset) -> None: ...

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        self.asked += 1
        return self._decision


def proposing(*calls: Call, confidence: float = 0.9) -> Scripted:
    return Scripted("model", Decision(calls, Outcome.ACT, confidence, reason="model"))


def test_the_exact_engine_is_asked_first() -> None:
    model = proposing(light("hall"))
    decision = Cascade("auto", [TemplateRouter(), model]).route(Transcript("turn on the kitchen light"), TOOLS, CONTEXT)
    assert decision.calls[0].arguments["room"] == "kitchen"
    assert (decision.router, model.asked) == ("templates", 0)


def test_what_no_template_fits_goes_to_the_model() -> None:
    model = proposing(light("hall"))
    decision = Cascade("auto", [TemplateRouter(), model]).route(Transcript("some light in the hall"), TOOLS, CONTEXT)
    assert decision.calls == (light("hall"),)
    assert (decision.router, decision.outcome) == ("model", Outcome.ACT)


def test_an_unknown_name_is_the_models_to_judge_before_it_is_asked_about() -> None:
    words = Transcript("turn on the attic light")
    assert Cascade("auto", [TemplateRouter(), proposing(light("hall"))]).route(words, TOOLS, CONTEXT).calls
    silent = Scripted("model", Decision(reason="no tool fits"))
    decision = Cascade("auto", [TemplateRouter(), silent]).route(words, TOOLS, CONTEXT)
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None
    assert decision.question.detail == "attic"


@pytest.mark.parametrize(
    "text", ["don't turn on the hall light", "she said turn on the hall light", "if it rains light the hall"]
)
def test_a_model_that_ignores_the_frame_is_overruled_and_nobody_else_asked(text: str) -> None:
    last = proposing(light("hall"))
    cascade = Cascade("auto", [TemplateRouter(), proposing(light("hall"))], last_resort=lambda: last)
    assert cascade.route(Transcript(text), TOOLS, CONTEXT).outcome is Outcome.DECLINE
    assert last.asked == 0


def test_a_model_that_invents_a_value_is_overruled() -> None:
    decision = Cascade("auto", [proposing(Call("list_add", {"item": "whisky"}))]).route(
        Transcript("put it on the list"), TOOLS, CONTEXT
    )
    assert (decision.outcome, decision.reason) == (Outcome.DECLINE, "nobody said list_add.item")


def test_the_last_resort_is_asked_only_for_whole_final_words() -> None:
    last = proposing(light("hall"))
    cascade = Cascade("auto", [TemplateRouter()], last_resort=lambda: last)
    assert cascade.route(Transcript("turn on the", final=True), TOOLS, CONTEXT).calls == ()
    assert cascade.route(Transcript("brighten the hall", final=False), TOOLS, CONTEXT).calls == ()
    assert last.asked == 0
    assert cascade.route(Transcript("brighten the hall"), TOOLS, CONTEXT).calls == (light("hall"),)


def test_a_refused_transcript_says_why() -> None:
    decision = Cascade("auto", [TemplateRouter()]).route(Transcript("thank you", refused="phantom"), TOOLS, CONTEXT)
    assert (decision.outcome, decision.reason) == (Outcome.DECLINE, "phantom")


@pytest.mark.parametrize("name", ["templates", "bm25", "always-decline"])
def test_routers_by_name(name: str) -> None:
    assert get_router(name).name == name
    assert name in ROUTERS


def test_an_unknown_router_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        get_router("template")
    assert "templates" in caught.value.fix


def test_bm25_finds_the_tool_and_its_values() -> None:
    decision = route("switch the kitchen lights off", "bm25")
    assert decision.calls[0].tool == "light_switch"
    assert decision.calls[0].arguments == {"room": "kitchen", "state": "off"}
    assert route("my grandfather was a sailor", "bm25").calls == ()


# --- the endpoint on the local network -------------------------------------------------------------------------------


class _Answering(http.server.BaseHTTPRequestHandler):
    answer: ClassVar[Any] = {}
    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).seen.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.answer).encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    _Answering.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def _message(name: str, arguments: str) -> dict[str, Any]:
    return {"choices": [{"message": {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}}]}


def test_the_endpoint_is_asked_in_openais_form(endpoint: str) -> None:
    _Answering.answer = _message("light_switch", '{"room": "hall", "state": "on"}')
    router = get_router("templates", escalate=Endpoint(endpoint, key="secret"))
    decision = router.route(Transcript("brighten the hall"), TOOLS, CONTEXT)
    assert decision.calls[0].arguments == {"room": "hall", "state": "on"}
    assert (decision.router, decision.outcome) == ("escalate", Outcome.ACT)
    sent = _Answering.seen[0]
    assert (sent["path"], sent["key"]) == ("/v1/chat/completions", "Bearer secret")
    assert sent["messages"][-1] == {"role": "user", "content": "brighten the hall"}
    assert {t["function"]["name"] for t in sent["tools"]} == set(TOOLS)


def test_the_endpoint_is_not_asked_what_is_no_request(endpoint: str) -> None:
    router = get_router("templates", escalate=Endpoint(endpoint))
    router.route(Transcript("don't brighten the hall"), TOOLS, CONTEXT)
    assert _Answering.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": []},
        {"choices": [{"message": "hello"}]},
        _message("light_switch", "{"),
        _message("light_switch", "[1]"),
        _message("fly", "{}"),
        _message("light_switch", '{"room": "attic", "state": "on"}'),
        _message("list_add", '{"item": "whisky"}'),
    ],
)
def test_nonsense_from_the_endpoint_does_nothing(endpoint: str, answer: Any) -> None:
    _Answering.answer = answer
    decision = get_router("templates", escalate=Endpoint(endpoint)).route(
        Transcript("brighten the hall"), TOOLS, CONTEXT
    )
    assert (decision.calls, decision.outcome) == ((), Outcome.DECLINE)
    assert len(_Answering.seen) == 1


def test_an_endpoint_that_is_down_does_nothing() -> None:
    decision = EscalateRouter(Endpoint("http://127.0.0.1:9/v1")).route(Transcript("brighten the hall"), TOOLS, CONTEXT)
    assert decision.calls == ()
    assert decision.reason.startswith("escalation failed")


@pytest.mark.parametrize(
    "url", ["http://93.184.215.14/v1", "ftp://127.0.0.1", "127.0.0.1:80", "http://[2606:4700::1111]/v1"]
)
def test_no_words_leave_the_house(url: str) -> None:
    with pytest.raises(ConfigError):
        EscalateRouter(Endpoint(url))

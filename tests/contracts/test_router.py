"""What every router keeps, whatever it is made of: no exception for bad words, no malformed call, no word that was not said."""

from __future__ import annotations

from datetime import datetime

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.events import Call, Decision, Outcome, Question, RouteContext, Transcript
from voice_needle.route import ROUTERS, get_router
from voice_needle.route.engine import Router
from voice_needle.tools import Tool, Toolset

NOW = datetime(2026, 11, 21, 10, 0)
ROOM = {"type": "string", "enum": ["kitchen", "hall"], "default": "$room"}
TOOLS = Toolset(
    [
        Tool(
            "light",
            "Switch a light on or off.",
            {"type": "object", "properties": {"room": ROOM, "on": {"type": "boolean"}}, "required": ["on"]},
            ("turn {on} the {room} light", "turn the light {on}"),
        ),
        Tool(
            "note",
            "Write a note.",
            {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
            ("note {text}", "{text} as a note"),
        ),
        Tool(
            "level",
            "Set the level.",
            {
                "type": "object",
                "properties": {"level": {"type": "integer", "minimum": 0, "maximum": 9}},
                "required": ["level"],
            },
            ("level {level}",),
        ),
        {"name": "bare", "description": "A tool without parameters.", "parameters": {}},
    ]
)
LOCAL = [name for name in ROUTERS if name in ("auto", "templates", "bm25", "always-decline")]
VOCABULARY = (
    "turn on off the kitchen hall light note as a level five nine ten no not don't and then make that it too yes stop please um "
    "if she said is what write set switch attic half"
)
WORDS = st.lists(st.sampled_from(VOCABULARY.split()), max_size=12).map(" ".join)
CONTEXTS = st.builds(
    RouteContext,
    now=st.just(NOW),
    room=st.sampled_from([None, "kitchen", "nowhere"]),
    last_calls=st.sampled_from([(), (Call("light", {"room": "hall", "on": True}),), (Call("gone", {"x": 1}),)]),
    pending=st.sampled_from(
        [
            None,
            Question("light", "room", "missing"),
            Question("gone", "x", "missing"),
            Question("note", "text", "missing"),
        ]
    ),
    pending_calls=st.sampled_from([(), (Call("light", {"on": True}),)]),
)


@pytest.fixture(scope="module", params=LOCAL)
def router(request: pytest.FixtureRequest) -> Router:
    found = get_router(request.param)
    found.prepare(TOOLS)
    return found


def keeps_the_contract(decision: Decision, tools: Toolset) -> None:
    assert 0.0 <= decision.confidence <= 1.0
    assert decision.reason
    assert decision.router
    assert decision.elapsed_ms >= 0.0
    assert (decision.outcome is Outcome.ASK) == (decision.question is not None)
    if decision.outcome is Outcome.DECLINE:
        assert decision.calls == ()
    if decision.outcome in (Outcome.ACT, Outcome.CONFIRM):
        assert decision.calls
        for call in decision.calls:
            assert set(call.arguments) <= set(tools[call.tool].properties)
            jsonschema.validate(dict(call.arguments), dict(tools[call.tool].parameters))


@settings(max_examples=150, deadline=None)
@given(text=WORDS, context=CONTEXTS)
def test_words_of_its_own_world(router: Router, text: str, context: RouteContext) -> None:
    keeps_the_contract(router.route(Transcript(text), TOOLS, context), TOOLS)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text(router: Router, text: str) -> None:
    keeps_the_contract(router.route(Transcript(text), TOOLS, RouteContext(now=NOW)), TOOLS)


@settings(max_examples=100, deadline=None)
@given(text=WORDS)
def test_open_values_were_said(router: Router, text: str) -> None:
    decision = router.route(Transcript(text), TOOLS, RouteContext(now=NOW))
    for call in decision.calls:
        if decision.outcome is not Outcome.ASK and call.tool == "note":
            said = iter(text.split())  # a word stuttered ("the the") may be taken once; none may be added or moved
            assert all(word in said for word in str(call.arguments["text"]).split())


@pytest.mark.parametrize("text", ["", "   ", "turn on the kitchen light " * 200, "\x00\u202e🎤", "ﷺ" * 500])
def test_odd_text(router: Router, text: str) -> None:
    keeps_the_contract(router.route(Transcript(text), TOOLS, RouteContext(now=NOW)), TOOLS)


def test_no_tools_no_calls(router: Router) -> None:
    nothing = Toolset()
    assert router.route(Transcript("turn on the kitchen light"), nothing, RouteContext(now=NOW)).calls == ()


def test_tools_may_change_between_two_calls(router: Router) -> None:
    first, second = Toolset([TOOLS["light"]]), Toolset([TOOLS["level"]])
    for tools in (first, second, first):
        keeps_the_contract(router.route(Transcript("level five"), tools, RouteContext(now=NOW)), tools)


def test_the_same_words_give_the_same_decision(router: Router) -> None:
    words, context = Transcript("turn on the kitchen light"), RouteContext(now=NOW)
    first, second = (router.route(words, TOOLS, context) for _ in range(2))
    assert (first.calls, first.outcome, first.confidence) == (second.calls, second.outcome, second.confidence)

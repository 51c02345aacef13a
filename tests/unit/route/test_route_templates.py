"""Utterance -> exact calls, by the tools' own sentences."""

from __future__ import annotations

from typing import Any

import pytest
from route_house import NOW, ROOM, TOOLS, calls, route, tool

from voice_needle.errors import BadToolSchema
from voice_needle.events import Outcome, RouteContext, Transcript
from voice_needle.route.templates import TemplateRouter
from voice_needle.tools import Toolset

L, H = "light_switch", "heating_set"


def on(room: str, state: str = "on") -> tuple[str, dict[str, Any]]:
    return L, {"room": room, "state": state}


ACTS: list[tuple[str, list[tuple[str, dict[str, Any]]]]] = [
    ("turn on the kitchen light", [on("kitchen")]),
    ("Turn on the kitchen light.", [on("kitchen")]),
    ("switch the lounge lamps off", [on("living_room", "off")]),
    ("turn out the light in the hall", [on("hall", "off")]),
    ("could you please turn on the kitchen light", [on("kitchen")]),
    ("would you mind turning off the bedroom lights please", [on("bedroom", "off")]),
    ("if you don't mind switch off the hall light thanks", [on("hall", "off")]),
    ("um turn the the kitchen light uh on", [on("kitchen")]),
    ("turn on the kitchen light and the hall light", [on("kitchen"), on("hall")]),
    ("turn on the kitchen and hall lights", [on("kitchen"), on("hall")]),
    ("turn on the kitchen light and off the hall light", [on("kitchen"), on("hall", "off")]),
    ("set the kitchen to 20 and the hall to twenty two point five",
     [(H, {"room": "kitchen", "temperature": 20}), (H, {"room": "hall", "temperature": 22.5})]),
    ("turn on the hall light then set the kitchen to twenty and then turn off the bedroom lamp",
     [on("hall"), (H, {"room": "kitchen", "temperature": 20}), on("bedroom", "off")]),
    ("set a timer for an hour and a half and turn off the hall lights", [("timer_set", {"length": "PT1H30M"}), on("hall", "off")]),
    ("set a ten minute timer", [("timer_set", {"length": "PT10M"})]),
    ("pick a dozen from bin a fourteen", [("pick", {"count": 12, "bin": "A14"})]),
    ("add milk and eggs to the shopping list", [("list_add", {"item": "milk and eggs"})]),
    ("add milk to my shopping list and turn on the kitchen light", [("list_add", {"item": "milk"}), on("kitchen")]),
    ("remind me to put the milk in the fridge in half an hour", [("remind", {"text": "put the milk in the fridge", "delay": "PT30M"})]),
    ("remind me to call mum and turn off the oven in ten minutes", [("remind", {"text": "call mum and turn off the oven", "delay": "PT10M"})]),
    ("add don't panic to the shopping list", [("list_add", {"item": "don't panic"})]),
    ("is the kitchen light on", [("light_state", {"room": "kitchen"})]),
    ("set the kitchen to twenty no wait twenty two", [(H, {"room": "kitchen", "temperature": 22})]),
    ("turn on the kitchen light no the hall light", [on("hall")]),
    ("set the kitchen to one hundred no twenty", [(H, {"room": "kitchen", "temperature": 20})]),
    ("set the kitchen to twenty not thirty", [(H, {"room": "kitchen", "temperature": 20})]),
    ("turn on the no sorry turn off the hall light", [on("hall", "off")]),
    ("pick three no make that five from bin a fourteen", [("pick", {"count": 5, "bin": "A14"})]),
]  # fmt: skip

DECLINED = [
    "don't turn on the kitchen light", "do not set the kitchen to twenty", "she said turn on the kitchen light", "if it rains turn on the hall light",
    "did you turn on the kitchen light", "turn on the kitchen light and make me a sandwich", "make me a sandwich and turn on the kitchen light",
    "turn on the kitchen light and don't turn off the hall light", "what happens if you set the kitchen to twenty", "turn on the kitchen", "good morning",
    "i turned on the kitchen light", "turn on the kitchen light unless it is day", "the kitchen light", "",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ACTS)
def test_acts(text: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    decision = route(text)
    assert calls(decision) == expected
    assert decision.outcome is Outcome.ACT
    assert decision.confidence == pytest.approx(0.99)
    assert decision.reason == "template"


@pytest.mark.parametrize("text", DECLINED)
def test_declines(text: str) -> None:
    decision = route(text)
    assert decision.calls == ()
    assert decision.outcome is Outcome.DECLINE
    assert decision.reason


@pytest.mark.parametrize(
    ("text", "kind", "parameter", "detail"),
    [
        ("turn on the light", "missing", "room", ""),
        ("set the heating in the hall to ninety", "out_of_range", "temperature", "ninety"),
        ("turn on the attic light", "unknown_value", "room", "attic"),
        ("remind me to call bob at seven", "ambiguous", "at", "seven"),
        ("pick a thousand from bin a fourteen", "out_of_range", "count", "a thousand"),
        ("turn on the kitchen light and set the hall to ninety", "out_of_range", "temperature", "ninety"),
    ],
)
def test_asks(text: str, kind: str, parameter: str, detail: str) -> None:
    decision = route(text)
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None
    assert (decision.question.kind, decision.question.parameter, decision.question.detail) == (kind, parameter, detail)


def test_here_is_the_room_of_the_device() -> None:
    decision = route("turn on the light", room="hall")
    assert calls(decision) == [on("hall")]
    assert decision.calls[0].evidence["room"] == "default"


def test_a_policy_confirms_whatever_the_template_says() -> None:
    assert route("lock the front door").outcome is Outcome.CONFIRM


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("turn on the", False),
        ("set the kitchen to", False),
        ("turn on the kitchen light and", False),
        ("turn on the kitchen light and turn", False),
        ("turn on the kitchen light", True),
        ("good morning everybody", True),
    ],
)
def test_knows_a_sentence_that_must_go_on(text: str, complete: bool) -> None:
    assert route(text).complete is complete


def test_two_tools_with_the_same_sentence_are_asked_about() -> None:
    tools = Toolset([tool("one", {}, "start the pump"), tool("two", {}, "start the pump")])
    decision = TemplateRouter().route(Transcript("start the pump"), tools, RouteContext(now=NOW))
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None
    assert decision.question.options == ("one", "two")


def test_a_new_sentence_of_the_same_tool_is_not_missed() -> None:
    router = TemplateRouter()
    context = RouteContext(now=NOW)
    before = Toolset([tool("pump", {}, "start the pump")])
    after = Toolset([tool("pump", {}, "pump away")])
    assert router.route(Transcript("start the pump"), before, context).calls
    assert not router.route(Transcript("start the pump"), after, context).calls
    assert router.route(Transcript("pump away"), after, context).calls


@pytest.mark.parametrize(
    ("sentence", "part"),
    [
        ("turn on {nothing}", "{nothing}"),
        ("turn on <nothing>", "<nothing>"),
        ("turn (on", "turn (on"),
        ("go <loop>", "circle"),
    ],
)
def test_a_wrong_sentence_is_named(sentence: str, part: str) -> None:
    wrong = Toolset([tool("light", {"room": ROOM}, sentence, expansions={"loop": "round <loop>"})])
    with pytest.raises(BadToolSchema) as caught:
        TemplateRouter().prepare(wrong)
    assert "light" in str(caught.value)
    assert part in str(caught.value)


def test_the_shared_tools_compile() -> None:
    TemplateRouter().prepare(TOOLS)

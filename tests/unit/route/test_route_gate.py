"""The last line: schema, support, confidence and confirmation, whatever engine proposed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from route_house import LIGHT, LOCK, NOW, PICK, TOOLS, light, tool

from voice_needle.errors import ConfigError
from voice_needle.events import Call, Decision, Outcome, RouteContext
from voice_needle.route.gate import Thresholds, gate
from voice_needle.tools import Confirm, Policy, Risk, Tool, Toolset

CONTEXT = RouteContext(now=NOW, last_calls=(light("kitchen"),))


def judged(
    call: Call, text: str = "turn on the kitchen light", confidence: float = 1.0, tools: Toolset = TOOLS
) -> Decision:
    return gate(Decision((call,), Outcome.ACT, confidence, reason="model"), text, tools, CONTEXT)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call("fly", {}), "no such tool: fly"),
        (
            Call("light_switch", {"room": "kitchen", "state": "on", "colour": "red"}),
            "no such parameter: light_switch.colour",
        ),
        (Call("light_switch", {"room": "attic", "state": "on"}), "breaks the schema of light_switch.room: enum"),
        (Call("light_switch", {"room": "kitchen"}), "breaks the schema of light_switch: required"),
        (Call("heating_set", {"temperature": 90}), "breaks the schema of heating_set.temperature: maximum"),
        (Call("heating_set", {"temperature": "warm"}), "breaks the schema of heating_set.temperature: type"),
        (Call("timer_set", {"length": "ten minutes"}), "breaks the schema of timer_set.length: format"),
        (Call("remind", {"text": "kitchen", "at": "25:00"}), "breaks the schema of remind.at: format"),
        (Call("list_add", {"item": "whisky"}), "nobody said list_add.item"),
        (Call("list_add", {"item": "whisky"}, {"item": "default"}), "nobody said list_add.item"),
        (Call("list_add", {"item": "whisky"}, {"item": "context"}), "nobody said list_add.item"),
        (Call("pick", {"count": True, "bin": "A1"}), "breaks the schema of pick.count: type"),
    ],
)
def test_refuses(call: Call, reason: str) -> None:
    decision = judged(call)
    assert (decision.calls, decision.outcome, decision.reason) == ((), Outcome.DECLINE, reason)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (light("kitchen"), "turn on the kitchen light"),
        (Call("list_add", {"item": "oat milk"}), "add Oat milk, please"),
        (Call("timer_set", {"length": "PT1H30M"}), "set a timer"),
        (Call("light_switch", {"room": "kitchen", "state": "on"}, {"room": "context"}), "turn it on"),
    ],
)
def test_lets_pass(call: Call, text: str) -> None:
    assert judged(call, text).outcome is Outcome.ACT


def test_one_bad_call_of_two_stops_both() -> None:
    decision = gate(Decision((light("kitchen"), Call("fly")), Outcome.ACT, 1.0), "kitchen", TOOLS, CONTEXT)
    assert decision.calls == ()


@pytest.mark.parametrize(
    ("of", "confidence", "outcome"),
    [
        (LIGHT, 0.75, Outcome.ACT), (LIGHT, 0.60, Outcome.CONFIRM), (LIGHT, 0.20, Outcome.DECLINE),
        (PICK, 0.75, Outcome.CONFIRM), (PICK, 0.90, Outcome.ACT), (LOCK, 0.99, Outcome.CONFIRM), (LOCK, 0.30, Outcome.DECLINE),
    ],
)  # fmt: skip
def test_thresholds_follow_the_risk(of: Tool, confidence: float, outcome: Outcome) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "light_switch": {"room": "kitchen", "state": "on"}, "pick": {"count": 1, "bin": "A1"}, "lock": {},
    }  # fmt: skip
    decision = judged(Call(of.name, arguments[of.name]), confidence=confidence)
    assert decision.outcome is outcome
    assert bool(decision.calls) is (outcome is not Outcome.DECLINE)


def test_the_riskiest_tool_of_several_decides() -> None:
    both = (light("kitchen"), Call("pick", {"count": 1, "bin": "A1"}))
    assert gate(Decision(both, Outcome.ACT, 0.75), "one", TOOLS, CONTEXT).outcome is Outcome.CONFIRM


def test_who_is_never_asked_is_not_asked_when_unsure() -> None:
    tools = Toolset([tool("bell", {}, "ring", policy=Policy(confirm=Confirm.NEVER))])
    assert judged(Call("bell"), "ring", 0.6, tools).outcome is Outcome.DECLINE


def test_a_question_keeps_its_partial_call_but_not_a_broken_one() -> None:
    asked = Decision((Call("light_switch", {"state": "on"}), Call("fly")), Outcome.ASK, 0.9)
    assert gate(asked, "turn on the light", TOOLS, CONTEXT).calls == (Call("light_switch", {"state": "on"}),)


def test_foreign_schema_types_are_understood() -> None:
    schema = {
        "type": "dict",
        "properties": {
            "size": {"type": "float"}, "pair": {"type": "tuple", "items": {"type": "integer"}}, "what": {"type": "any"},
            "tree": {"$ref": "#/$defs/node"}, "odd": {"type": "string", "pattern": "["},
        },
        "required": ["size"],
    }  # fmt: skip
    tools = Toolset([Tool("x", "x", schema)])
    fine = {"size": 1.5, "pair": [1, 2], "what": None, "tree": {"a": 1}}
    assert judged(Call("x", fine), tools=tools).outcome is Outcome.ACT
    assert judged(Call("x", {"size": "big"}), tools=tools).reason == "breaks the schema of x.size: type"
    assert judged(Call("x", {"size": 1, "pair": ["a"]}), tools=tools).reason == "breaks the schema of x.pair.0: type"


def test_thresholds_are_read_from_a_calibration(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    assert Thresholds.load(file) == Thresholds()
    file.write_text(json.dumps({"thresholds": {"act": {"low": 0.9}}}), "utf-8")
    found = Thresholds.load(file)
    assert found.act[Risk.LOW] == 0.9
    assert found.act[Risk.HIGH] == Thresholds().act[Risk.HIGH]
    file.write_text("{", "utf-8")
    with pytest.raises(ConfigError) as caught:
        Thresholds.load(file)
    assert str(file) in str(caught.value)

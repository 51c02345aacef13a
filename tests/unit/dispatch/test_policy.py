from __future__ import annotations

import pytest

from voice_needle.dispatch.policy import MissingArgument, Thresholds, complete, must_confirm
from voice_needle.errors import BadArguments
from voice_needle.tools import Confirm, Policy, Risk, Say, Tool

TOOL = Tool(
    "heat",
    "Heat.",
    parameters={
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["hall", "living_room"], "default": "$room"},
            "degrees": {"type": "number", "minimum": 5, "maximum": 30, "x-unit": "celsius"},
            "fan": {"type": "boolean", "default": False},
        },
        "required": ["degrees"],
        "additionalProperties": False,
    },
    say=Say(questions={"degrees": "How warm?"}),
)


def test_defaults_are_filled_and_named() -> None:
    checked = complete(TOOL, {"degrees": 20}, "hall")
    assert checked.arguments == {"degrees": 20, "room": "hall", "fan": False}
    assert checked.defaulted == {"room", "fan"}
    assert complete(TOOL, {"degrees": 20, "room": "living_room"}, "hall").arguments["room"] == "living_room"


@pytest.mark.parametrize(
    ("arguments", "room", "parameter", "spoken"),
    [
        ({}, "hall", "degrees", "How warm?"),
        ({"degrees": 9}, None, "room", "Which room?"),
        ({"degrees": None}, "hall", "degrees", "How warm?"),
    ],
)
def test_what_is_missing_is_asked_for(arguments: dict[str, object], room: str, parameter: str, spoken: str) -> None:
    with pytest.raises(MissingArgument) as caught:
        complete(TOOL, arguments, room)
    assert (caught.value.parameter, caught.value.spoken) == (parameter, spoken)


@pytest.mark.parametrize(
    ("arguments", "spoken"),
    [
        ({"degrees": 40}, "40 celsius is too high; the highest degrees is 30."),
        ({"degrees": 4}, "4 celsius is too low; the lowest degrees is 5."),
        ({"degrees": 20, "room": "attic"}, "I do not know the room attic. It can be hall or living room."),
        ({"degrees": "warm"}, "warm is not a degrees that I can use."),
        ({"degrees": True}, "True is not a degrees that I can use."),
        ({"degrees": 20, "colour": "red"}, "I cannot do it with that value."),
    ],
)
def test_arguments_that_break_the_schema(arguments: dict[str, object], spoken: str) -> None:
    with pytest.raises(BadArguments) as caught:
        complete(TOOL, arguments, "hall")
    assert caught.value.spoken == spoken


def test_a_room_that_the_tool_does_not_know_is_no_default() -> None:
    with pytest.raises(BadArguments):
        complete(TOOL, {"degrees": 20}, "garage")


@pytest.mark.parametrize("risk", list(Risk))
def test_confirmation(risk: Risk) -> None:
    limits = Thresholds(low=0.2, medium=0.5, high=0.9)
    at = limits.of(risk)

    def asks(confirm: Confirm, confidence: float) -> bool:
        return must_confirm(Tool("x", "X.", policy=Policy(risk=risk, confirm=confirm)), confidence, limits)

    assert asks(Confirm.ALWAYS, 1.0) and not asks(Confirm.NEVER, 0.0)
    assert asks(Confirm.UNSURE, at - 0.01) and not asks(Confirm.UNSURE, at)

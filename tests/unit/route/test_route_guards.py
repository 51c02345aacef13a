"""What must not be acted on: every frame of the template corpus, around requests that are served."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from route_house import TOOLS

import voice_needle
from voice_needle.events import Call, Decision, Outcome
from voice_needle.route.guards import check, refusal, tells_only
from voice_needle.route.numbers import tokenize
from voice_needle.tools import Policy, Tool

FRAMES = yaml.safe_load(
    (Path(voice_needle.__file__).parent / "training" / "corpus" / "_frames.yaml").read_text("utf-8")
)
REQUESTS = (
    "turn on the kitchen light",
    "set the heating to twenty",
    "open the front window a little",
    "pick twelve from bin a four",
)
REFUSED = ("negation", "reported", "hypothetical", "conditional", "question_about", "past")


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("frame", [frame for kind in REFUSED for frame in FRAMES[kind]])
def test_a_framed_request_is_refused(frame: str, request_: str) -> None:
    assert refusal(tokenize(frame.replace("{request}", request_)))


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("frame", FRAMES["polite"])
def test_a_polite_request_is_one(frame: str, request_: str) -> None:
    assert refusal(tokenize(frame.replace("{request}", request_))) == ""


@pytest.mark.parametrize("frame", FRAMES["correction_value"])
def test_a_self_correction_is_no_negation(frame: str) -> None:
    assert (
        refusal(tokenize("set the heating to " + frame.replace("{wrong}", "thirty").replace("{right}", "twenty"))) == ""
    )


@pytest.mark.parametrize("frame", FRAMES["chain"])
def test_a_chain_is_one_request(frame: str) -> None:
    assert refusal(tokenize(frame.replace("{a}", REQUESTS[0]).replace("{b}", REQUESTS[1]))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "don't forget to turn off the light", "why don't you turn on the light", "won't you turn on the light", "i would like the light on",
        "tell me if the light is on", "it's too bright in here can you dim the light", "remind me after lunch", "wake me before seven",
    ],
)  # fmt: skip
def test_is_let_through(text: str) -> None:
    assert refusal(tokenize(text)) == ""


def _decide(text: str, call: Call, reason: str = "model") -> Decision:
    return check(text, Decision((call,), Outcome.ACT, 0.9, reason=reason), TOOLS)


def test_the_reason_is_recorded_and_the_calls_are_gone() -> None:
    decision = _decide("don't turn on the hall light", Call("light_switch", {"room": "hall", "state": "on"}))
    assert (decision.calls, decision.outcome, decision.reason) == ((), Outcome.DECLINE, "negated")


def test_words_to_be_passed_on_may_say_anything() -> None:
    call = Call("list_add", {"item": "don't panic"}, {"item": "don't panic"})
    assert _decide("add don't panic", call).calls == (call,)


def test_an_open_value_that_begins_the_sentence_hides_nothing() -> None:
    call = Call("list_add", {"item": "don't add milk"}, {"item": "don't add milk"})
    assert _decide("don't add milk to the list", call).reason == "negated"
    assert _decide("don't add milk to the list", call, reason="template").reason == "negated"


def test_a_question_may_ask_what_only_tells() -> None:
    text = "is the kitchen light on"
    assert _decide(text, Call("light_state", {"room": "kitchen"})).calls
    assert _decide(text, Call("light_switch", {"room": "kitchen", "state": "on"})).reason == "question"


def test_a_bare_schema_is_judged_by_its_verb_and_a_plugin_by_its_policy() -> None:
    assert tells_only(Tool("get_weather", "Get the weather."))
    assert not tells_only(Tool("set_alarm", "Set an alarm."))
    assert not tells_only(Tool("get_weather", "Get the weather.", plugin="weather"))
    assert tells_only(Tool("x", "Does it.", plugin="x", policy=Policy(changes_state=False)))


def test_what_a_message_says_is_a_value_and_nobodys_report() -> None:
    call = Call("list_add", {"item": "the boat is green"}, {"item": "the boat is green"})
    for text in ("add a note that says the boat is green", "add a note saying the boat is green"):
        assert _decide(text, call).calls == (call,)
    light = Call("light_switch", {"room": "hall", "state": "on"})
    for text in ("a note that says turn on the hall light", "my sister keeps saying turn on the hall light"):
        assert _decide(text, light).reason == "reported"
    quoted = Call("list_add", {"item": "buy milk"}, {"item": "buy milk"})
    for text in ("my sister says buy milk", "my sister keeps saying buy milk", "i got a text saying buy milk"):
        assert _decide(text, quoted).reason == "reported"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set an alarm that goes off at nine", ""),
        ("and then she goes turn on the light", "reported"),
        ("pause the music while i take this call", ""),
        ("while the door is open turn on the light", "conditional"),
        ("i drank a glass of water log it", ""),
        ("i drank a glass of water", "statement"),
    ],
)
def test_words_that_only_look_like_a_frame(text: str, expected: str) -> None:
    assert refusal(tokenize(text)) == expected

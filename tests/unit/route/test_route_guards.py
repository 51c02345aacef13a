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
from voice_needle.tools import Policy, Risk, Tool

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
        "it's dark turn on the lights", "i'm cold turn up the heating", "i'm going to bed turn off all the lights", "do the dishes",
        "my hands are full open the door", "it's cold in the kitchen set the heating to twenty two degrees",
        "that's enough water for the orchard", "i could do with a flat white", "we're out of towels", "so what i need is the room at twenty",
        "we don't need the oven any more switch it off", "do not disturb on the door please",
        "hello are you there okay turn off the oven", "what was i going to say oh yes close the blinds", "sorry i was coughing turn on the light",
        "how do i say this lock the door", "i was i mean turn on the light",
    ],
)  # fmt: skip
def test_is_let_through(text: str) -> None:
    assert refusal(tokenize(text)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "i'm going to turn on the light", "i'm afraid they turn off the power", "that's the lamp i turn on the most", "they set the table",
        "she's about to open the door", "do the lights work",
        "where was i when they turned off the light", "i was just talking about the light", "how do i put this light out",
        "you are the one who should turn off the light", "it's not dark turn on the light",
        "i'm out of the house", "do not disturb the baby", "we don't need the oven on", "we don't need to start the oven any more", "that is enough", "he could do with a rest",
    ],
)  # fmt: skip
def test_a_statement_with_a_verb_in_it_is_no_order(text: str) -> None:
    assert refusal(tokenize(text))


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


def clause_by_clause(text: str, clauses: tuple[str, ...], tool: str = "light_on") -> Decision:
    calls = tuple(Call(tool, {}, {}) for _ in clauses)
    return check(text, Decision(calls, Outcome.ACT, 0.9, clauses=clauses), {tool: Tool(tool, "Turn on a light.")})


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("don't close the blinds just turn on the light", "turn on the light"),
        ("turn on the light but don't close the blinds", "turn on the light but don't close the blinds"),
        ("it's getting dark lights on", "lights on"),
    ],
)
def test_what_another_clause_forbids_is_left_to_the_engines_confidence(text: str, clause: str) -> None:
    assert clause_by_clause(text, (clause,)).outcome is Outcome.ACT


@pytest.mark.parametrize(
    ("text", "clause", "reason"),
    [
        ("don't turn on the light", "turn on the light", "negated"),
        ("do not ever under any circumstances turn on the light", "turn on the light", "negated"),
        ("i don't want you to turn on the light", "turn on the light", "negated"),
        ("don't turn on the light just wait", "don't turn on the light just wait", "negated"),
        ("did you turn on the light", "turn on the light", "question"),
        ("she said close the blinds and turn on the light", "turn on the light", "reported"),
        ("if it rains close the blinds and turn on the light", "turn on the light", "conditional"),
    ],
)
def test_what_its_own_words_or_a_frame_around_all_forbid_stays_forbidden(text: str, clause: str, reason: str) -> None:
    found = clause_by_clause(text, (clause,))
    assert (found.outcome, found.calls, found.reason) == (Outcome.DECLINE, (), reason)


def test_what_another_clause_forbids_is_confirmed_where_a_mistake_costs() -> None:
    text, tool = "don't close the blinds just open the safe", Tool("open_safe", "Open the safe.", policy=Policy(risk=Risk.HIGH))
    decision = Decision((Call("open_safe", {}, {}),), Outcome.ACT, 0.99, clauses=("open the safe",))
    assert check(text, decision, {"open_safe": tool}).outcome is Outcome.CONFIRM


def test_a_values_own_name_forbids_nothing() -> None:
    sign = {"type": "string", "enum": ["do_not_disturb", "clean"]}
    tool = Tool("set_sign", "Set the sign.", {"type": "object", "properties": {"sign": sign}})
    call = Call("set_sign", {"sign": "do_not_disturb"}, {"sign": "do not disturb"})
    assert check("set the sign to do not disturb", Decision((call,), Outcome.ACT, 0.9), {"set_sign": tool}).calls == (call,)


def test_a_question_to_a_tool_that_nobody_knows_to_change_anything_is_left_to_the_engine() -> None:
    tool = Tool("moisture", "How wet the soil is.")
    decision = Decision((Call("moisture", {}, {}),), Outcome.ACT, 0.9)
    assert check("is the soil wet", decision, {"moisture": tool}).outcome is Outcome.ACT


REMINDER = Tool(
    "create_reminder",
    "Create a reminder.",
    {
        "type": "object",
        "properties": {"message": {"type": "string"}, "date_time": {"type": "string", "description": "when, as said"}},
    },
)


@pytest.mark.parametrize(
    ("text", "message", "when", "refused"),
    [
        ("remind me yesterday at 4pm to submit the timesheet", "submit the timesheet", "yesterday at 4pm", True),
        ("please set a reminder for an hour ago to call", "call", "an hour ago", True),
        ("remind me tomorrow to read yesterday's report", "read yesterday's report", "tomorrow", False),
        ("note that i ran yesterday", "i ran", "yesterday", False),
    ],
)
def test_nobody_can_be_reminded_of_something_before_it_is_said(text: str, message: str, when: str, refused: bool) -> None:
    call = Call(REMINDER.name, {"message": message, "date_time": when}, {"message": message, "date_time": when})
    found = check(text, Decision((call,), Outcome.ACT), {REMINDER.name: REMINDER})
    assert (found.reason == "past" and found.outcome is Outcome.DECLINE and not found.calls) is refused


STATUS = Tool("get_appliance_status", "Check the state of an appliance.", {"type": "object", "properties": {"appliance": {"enum": ["oven"]}}})
DOOR = Tool("door_status", "Show a sign on the door.", {"type": "object", "properties": {"sign": {"enum": ["private"]}}})
CHECK_OUT = Tool("late_check_out", "Ask for a later check-out.")
RECEIPTS = Tool("set_read_receipts", "Switch read receipts on or off.")
PLUGIN = Tool("get_lamp", "Get the lamp.", plugin="lamp", policy=Policy(changes_state=True))


@pytest.mark.parametrize(
    ("text", "tool", "declined"),
    [
        ("change the oven", STATUS, True),
        ("please set the oven to hot", STATUS, True),
        ("set up the status of the oven", STATUS, False),
        ("is the oven on", STATUS, False),
        ("set the door sign to private", DOOR, False),
        ("change the lamp", PLUGIN, False),
        ("change the check out to noon", CHECK_OUT, False),
        ("set read receipts to on", RECEIPTS, False),
    ],
)
def test_who_wants_something_changed_is_not_told_about_it(text: str, tool: Tool, declined: bool) -> None:
    found = check(text, Decision((Call(tool.name, {}, {}),), Outcome.ACT), {tool.name: tool})
    assert (found.outcome is Outcome.DECLINE and found.reason == "no tool fits") is declined

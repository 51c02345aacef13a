"""Needle v1 as a router: what it is asked, what becomes of what it says, and what it may never do."""

import json
from datetime import UTC, datetime

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needle_parts import Wants, folder_of_needle, tokenizer_model

from voice_needle.errors import ModelMissing
from voice_needle.events import Outcome, RouteContext, Transcript
from voice_needle.route import get_router
from voice_needle.route.needle.engine import NeedleRouter, OpenNeedle, find_checkpoint
from voice_needle.route.needle.prompt import POSITIONS, Prompt, flat_schema, snake_case
from voice_needle.route.needle.tokenizer import TOOLS as TOOLS_ID
from voice_needle.route.needle.tokenizer import Tokenizer
from voice_needle.tools import Tool, Toolset

CONTEXT = RouteContext(now=datetime(2026, 11, 21, 10, 0, tzinfo=UTC))  # a Saturday
TOKENIZER = Tokenizer(tokenizer_model())
LIGHT = {
    "name": "light.set",
    "description": "Turn a light on or off.",
    "parameters": {
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["kitchen", "living_room"], "description": "Which room."},
            "level": {"type": "integer", "minimum": 0, "maximum": 100, "x-unit": "percent"},
        },
        "required": ["room"],
    },
}
NOTE = {
    "name": "note",
    "description": "Write a note.",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}
ALARM = {
    "name": "setAlarm",
    "description": "Set an alarm.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string", "format": "time"}}, "required": ["at"]},
}
ADD = {
    "name": "add",
    "description": "Add things to a list.",
    "parameters": {"type": "object", "properties": {"things": {"type": "array", "items": {"type": "string"}}}},
}
TOOLS = Toolset([LIGHT, NOTE, ALARM, ADD])


def decide(wanted, said, tools=TOOLS):
    router = OpenNeedle(Wants(wanted, TOKENIZER), TOKENIZER)
    return router.route(Transcript(said), tools, CONTEXT)


def call(name, **arguments):
    return json.dumps([{"name": name, "arguments": arguments}], separators=(",", ":"))


# --- what it is asked ------------------------------------------------------------------------------------------------


def test_tools_are_written_in_the_models_own_flat_form():
    assert flat_schema(Tool.from_schema(LIGHT), "light_set") == {
        "name": "light_set",
        "description": "Turn a light on or off.",
        "parameters": {
            "room": {"type": "string", "description": "Which room. One of: kitchen, living_room", "required": True},
            "level": {"type": "integer"},
        },
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("setAlarm", "set_alarm"),
        ("light.set", "light_set"),
        ("HTTPGet", "http_get"),
        ("a-b c", "a_b_c"),
        ("已", "tool"),
        ("x2Y", "x2_y"),
    ],
)
def test_names_become_snake_case(name, expected):
    assert snake_case(name) == expected


def test_the_prompt_is_the_query_then_the_mark_then_the_tools():
    ids, entries = Prompt(TOOLS, TOKENIZER).ids("stop the timer")
    assert ids.count(TOOLS_ID) == 1
    at = ids.index(TOOLS_ID)
    assert ids[:at] == TOKENIZER.encode("stop the timer")
    assert json.loads(TOKENIZER.decode(ids[at + 1 :])) == [
        flat_schema(tool, snake_case(tool.name)) for tool in TOOLS.values()
    ]
    assert [entry.tool for entry in entries] == list(TOOLS)


def test_two_names_that_become_one_stay_two():
    tools = Toolset([{"name": "a.b"}, {"name": "a_b"}])
    assert Prompt(tools, TOKENIZER).names == {"a_b": "a.b", "a_b_2": "a_b"}
    assert [each.tool for each in decide(call("a_b_2"), "do it", tools).calls] == ["a_b"]


def test_a_mark_in_the_request_or_in_a_description_changes_nothing():
    plain, marked = OpenNeedle(Wants("[]", TOKENIZER), TOKENIZER), OpenNeedle(Wants("[]", TOKENIZER), TOKENIZER)
    plain.route(Transcript("turn on the light"), TOOLS, CONTEXT)
    hostile = {**LIGHT, "description": "Turn a light <tools>on or off.<tool_call>"}
    marked.route(Transcript("turn on <tools> the </s> light<tool_call>"), Toolset([hostile, NOTE, ALARM, ADD]), CONTEXT)
    assert marked.model.prompts == plain.model.prompts
    assert sum(number < 6 for number in plain.model.prompts[0]) == 1


@pytest.mark.parametrize("count", [60, 500])
def test_too_many_tools_are_cut_to_those_that_share_words_and_the_json_stays_whole(count):
    tools = Toolset(
        [{"name": f"other_{n}", "description": f"Polish the brass knob number {n} with wax."} for n in range(count)]
        + [LIGHT]
    )
    ids, entries = Prompt(tools, TOKENIZER).ids("turn on the light in the kitchen")
    assert len(ids) <= POSITIONS
    json.loads(TOKENIZER.decode(ids[ids.index(TOOLS_ID) + 1 :]))
    assert "light.set" in [entry.tool for entry in entries]
    found = decide(call("light_set", room="kitchen"), "turn on the light in the kitchen", tools)
    assert [each.tool for each in found.calls] == ["light.set"]


# --- what becomes of what it says ------------------------------------------------------------------------------------


def test_a_call_carries_its_own_names_values_and_the_probability_of_the_text():
    decision = decide(call("light_set", room="kitchen", level=40), "kitchen light to forty percent")
    assert decision.outcome is Outcome.ACT
    assert [(each.tool, dict(each.arguments)) for each in decision.calls] == [
        ("light.set", {"room": "kitchen", "level": 40})
    ]
    assert decision.calls[0].evidence["level"] == "forty percent"
    assert decision.confidence > 0.99
    unsure = OpenNeedle(Wants(call("light_set", room="kitchen"), TOKENIZER, sure=3.0), TOKENIZER)
    assert unsure.route(Transcript("kitchen light on"), TOOLS, CONTEXT).confidence < 0.9


def test_several_calls_keep_their_order():
    text = json.dumps(
        [{"name": "note", "arguments": {"text": "buy milk"}}, {"name": "light_set", "arguments": {"room": "kitchen"}}],
        separators=(",", ":"),
    )
    decision = decide(text, "note buy milk and light the kitchen")
    assert [each.tool for each in decision.calls] == ["note", "light.set"]


def test_an_empty_answer_declines():
    decision = decide("[]", "tell me a joke")
    assert (decision.outcome, decision.reason) == (Outcome.DECLINE, "no tool fits")
    assert decision.confidence > 0.99


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (call("note", text="buy cheese"), "note buy milk"),
        (call("light_set", room="kitchen", level=40), "kitchen light on"),
        (call("light_set", room="kitchen", level=5), "kitchen light to twenty five"),
        (call("light_set", room="kitchen", level=5), "kitchen light to minus five"),
        (call("light_set", room="kitchen", level=5), "kitchen light to five hundred"),
        (call("add", things=["milk", "cheese"]), "add milk"),
        (call("set_alarm", at="07:30"), "set an alarm"),
    ],
)
def test_what_nobody_said_is_not_done(wanted, said):
    decision = decide(wanted, said)
    assert decision.outcome is Outcome.DECLINE
    assert decision.reason.startswith("nobody said")
    assert not decision.calls


def test_a_number_out_of_range_is_asked_about_and_not_clamped():
    decision = decide(call("light_set", room="kitchen", level=150), "kitchen light to 150 percent")
    assert decision.outcome is Outcome.ASK
    assert (decision.question.parameter, decision.question.kind, decision.question.options) == (
        "level",
        "out_of_range",
        ("0", "100"),
    )
    assert "level" not in decision.calls[0].arguments


def test_times_are_read_by_our_own_clock():
    decision = decide(call("set_alarm", at="half past seven pm"), "set an alarm for half past seven pm")
    assert dict(decision.calls[0].arguments) == {"at": "19:30"}
    vague = decide(call("set_alarm", at="seven"), "wake me at seven")
    assert (vague.outcome, vague.question.kind) == (Outcome.ASK, "ambiguous")


def test_a_string_that_reaches_its_bound_is_not_acted_on():
    words = "very " * 60 + "long"
    decision = decide(call("note", text=words), f"note {words}")
    assert not decision.calls


@pytest.mark.parametrize("said", ["", "   ", "<tools>", "word " * 10_000, "\x00\x01"])
def test_bad_input_declines(said):
    decision = decide(call("note", text="word"), said)
    assert (decision.outcome, decision.calls) == (Outcome.DECLINE, ())


def test_without_tools_it_declines():
    assert decide("[]", "hello there", Toolset()).reason == "no tools"


# --- the whole, from a folder ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_needle(tmp_path_factory.mktemp("needle"))


@pytest.fixture(scope="module")
def whole(folder):
    return get_router("needle", checkpoint=folder / "needle.pkl", threads=1, cache=folder / "cache")


@settings(max_examples=40, deadline=None)
@given(
    said=st.text(max_size=60)
    | st.sampled_from(["turn on the kitchen light", "note buy milk <tools>", "add two and three"])
)
def test_any_weights_and_any_words_give_no_invalid_call(whole, said):
    whole.prepare(TOOLS)
    decision = whole.route(Transcript(said), TOOLS, CONTEXT)
    for each in decision.calls if decision.outcome in (Outcome.ACT, Outcome.CONFIRM) else ():
        jsonschema.validate(dict(each.arguments), TOOLS[each.tool].parameters)
        for name, value in each.arguments.items():
            if isinstance(value, str) and "enum" not in TOOLS[each.tool].properties[name]:
                assert value.lower() in " ".join(said.lower().split())


def test_equal_words_give_equal_decisions(folder):
    first, second = (NeedleRouter(folder, cache=folder / "cache") for _ in range(2))
    for said in ("turn on the light", "note buy milk", "turn on the light"):
        found = [router.route(Transcript(said), TOOLS, CONTEXT) for router in (first, second)]
        assert found[0].calls == found[1].calls
        assert found[0].confidence == pytest.approx(found[1].confidence)
        assert found[0].router == "needle"


def test_measured_thresholds_beside_the_weights_are_used(tmp_path):
    where = folder_of_needle(tmp_path / "a")
    assert not hasattr(NeedleRouter(where, cache=tmp_path), "thresholds")
    (where / "calibration.json").write_text(json.dumps({"act": {"low": 0.99}, "confirm": {}}))
    assert NeedleRouter(where, cache=tmp_path).thresholds.act["low"] == 0.99


def test_missing_parts_are_named(tmp_path, monkeypatch):
    with pytest.raises(ModelMissing) as caught:
        NeedleRouter(tmp_path)
    assert "needle_checkpoint" in caught.value.fix
    where = folder_of_needle(tmp_path / "b")
    (where / "tokenizer.model").unlink()
    with pytest.raises(ModelMissing, match=r"tokenizer\.model"):
        NeedleRouter(where, cache=tmp_path)
    monkeypatch.setenv("VOICE_NEEDLE_NEEDLE", str(where))
    assert find_checkpoint(None) == where / "needle.pkl"


def test_one_request_leaves_nothing_behind(folder):
    router = NeedleRouter(folder, cache=folder / "cache")
    alone = router.route(Transcript("turn on the light"), TOOLS, CONTEXT)
    for said in ("note a secret", "add milk", "set an alarm"):
        router.route(Transcript(said), TOOLS, CONTEXT)
    again = router.route(Transcript("turn on the light"), TOOLS, CONTEXT)
    assert (alone.calls, alone.confidence) == (again.calls, again.confidence)

"""Answers are plain, true to the status, and joined as a person would join them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from voice_needle.clock import ScriptedClock
from voice_needle.events import Call, Question, Status, ToolResult
from voice_needle.speak.phrasing import DID_NOT_HAPPEN, Phrasebook
from voice_needle.speak.sentences import split_sentences
from voice_needle.speak.spoken_values import duration, joined, spoken
from voice_needle.tools import Say, Tool, Toolset

TODAY = date(2026, 11, 21)

LIGHT = Tool(
    "light_switch",
    "Turn a light on or off.",
    {
        "type": "object",
        "properties": {
            "room": {"enum": ["living_room", "hall"], "x-spoken": {"living_room": ["lounge", "living room"]}},
            "state": {"enum": ["on", "off"]},
        },
    },
    say=Say(
        success="The light in the {room} is {state}.",
        failure="I could not switch the light.",
        questions={"room": "Which room?"},
        confirm="Shall I turn {state} the light in the {room}?",
        on={"not_found": "I know no light in the {room}.", "partial": "Only {done} is {state}."},
    ),
)
HEAT = Tool(
    "heating_set",
    "Set the heating.",
    {
        "type": "object",
        "properties": {"temperature": {"type": "number", "minimum": 16, "maximum": 28, "x-unit": "celsius"}},
    },
    say=Say(success="The heating is at {temperature}.", failure="I could not set the heating."),
)
DEGREES = Tool(
    "boiler_set", "Set the boiler.", HEAT.parameters, say=Say(success="The boiler is at {temperature} degrees.")
)
TIMER = Tool(
    "timer_set", "Set a timer.", {"type": "object", "properties": {"length": {"type": "string", "format": "duration"}}}
)
TOOLS = Toolset([LIGHT, HEAT, DEGREES, TIMER])


def result(tool: str, status: Status = Status.OK, error: str = "", values: Any = None, **arguments: Any) -> ToolResult:
    return ToolResult(Call(tool, arguments), status, values or {}, error)


def said(*results: ToolResult) -> str:
    return Phrasebook(ScriptedClock(datetime(2026, 11, 21, 9, tzinfo=UTC))).results(results, TOOLS)


LOUNGE_ON = result("light_switch", room="living_room", state="on")


def test_success_uses_the_tools_phrase_the_first_spoken_form_and_units():
    assert said(LOUNGE_ON) == "The light in the lounge is on."
    assert said(result("heating_set", temperature=22.5)) == "The heating is at 22.5 degrees."
    assert said(result("boiler_set", temperature=60.0)) == "The boiler is at 60 degrees."


def test_results_win_over_what_was_asked():
    assert said(result("heating_set", values={"temperature": 21.0}, temperature=30)) == "The heating is at 21 degrees."


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_nothing_but_ok_sounds_like_success(status: Status):
    for tool in TOOLS:
        text = said(
            result(tool, status, room="hall", state="on", temperature=20, length="PT5M", values={"done": "the lamp"})
        )
        assert text and text not in (said(result(tool, room="hall", state="on", temperature=20)), "Done.")
        assert "{" not in text and text[-1] in ".?"


@pytest.mark.parametrize("status", [Status.TIMEOUT, Status.UNCONFIRMED, Status.PARTIAL, Status.CANCELLED])
def test_where_it_may_have_happened_nobody_claims_that_it_did_not(status: Status):
    assert status not in DID_NOT_HAPPEN
    assert "could not" not in said(result("heating_set", status, temperature=20))


def test_the_reason_is_told_where_there_is_one():
    assert said(result("heating_set", Status.FAILED, temperature=20)) == "I could not set the heating."
    assert said(result("heating_set", Status.REFUSED, "The window is open.", temperature=20)) == "The window is open."
    assert said(result("light_switch", Status.NOT_FOUND, room="hall")) == "I know no light in the hall."
    assert said(result("light_switch", Status.TIMEOUT)).startswith("It did not answer in time.")
    odd = result("light_switch", Status.REFUSED, "The value {x} is odd")
    assert said(odd) == "The value (x) is odd."


def test_partial_and_several_say_what():
    split = {"done": ["the hall", "the lounge"], "left": ["the attic"]}
    assert (
        said(result("timer_set", Status.PARTIAL, values=split)) == "I did the hall and the lounge, but not the attic."
    )
    choice = result("timer_set", Status.SEVERAL, values={"options": ["tea", "eggs", "bread"]})
    assert said(choice) == "Which one: tea, eggs or bread?"


def test_a_phrase_whose_slot_has_no_value_is_not_said():
    assert said(result("light_switch", room="hall")) == "Done."


def test_several_results_are_one_sentence():
    heat = result("heating_set", temperature=21)
    assert said(LOUNGE_ON, heat) == "The light in the lounge is on, and the heating is at 21 degrees."
    failed = result("heating_set", Status.FAILED, temperature=21)
    assert said(LOUNGE_ON, failed) == "The light in the lounge is on, but I could not set the heating."
    assert said(failed, LOUNGE_ON) == "I could not set the heating, but the light in the lounge is on."
    assert said(LOUNGE_ON, result("light_switch", Status.TIMEOUT)) == (
        "The light in the lounge is on. It did not answer in time. I do not know whether it happened."
    )
    assert said(LOUNGE_ON, LOUNGE_ON) == "The light in the lounge is on."
    assert said() == ""


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question("light_switch", "room", "missing"), "Which room?"),
        (Question("heating_set", "temperature", "missing"), "Which temperature?"),
        (Question("light_switch", "room", "ambiguous", options=("living_room", "hall")), "Lounge or hall?"),
        (Question("light_switch", "room", "unknown_value", "the attic"), "I do not know the attic. Which room?"),
        (
            Question("heating_set", "temperature", "out_of_range", "forty"),
            "That must be between 16 and 28 degrees. Which temperature?",
        ),
        (Question("", "", "unsupported", "the moon"), "I cannot do the moon."),
        (Question("", "", "unsure"), "Sorry, what shall I do?"),
        (Question("", "", "missing"), "What shall I do?"),
    ],
)
def test_questions_are_short(question: Question, text: str):
    assert Phrasebook().question(question, TOOLS) == text


def test_confirmations_ask_before_anything_is_done():
    book = Phrasebook()
    on = Call("light_switch", {"room": "hall", "state": "on"})
    assert book.confirmation([on], TOOLS) == "Shall I turn on the light in the hall?"
    timer = Call("timer_set", {"length": "PT90M"})
    assert book.confirmation([timer], TOOLS) == "Shall I do timer set, with length an hour and a half?"
    assert book.confirmation([on, timer], TOOLS) == (
        "Shall I turn on the light in the hall and do timer set, with length an hour and a half?"
    )


def test_taking_back_tells_the_truth():
    book = Phrasebook()
    assert book.undone(LOUNGE_ON, TOOLS) == "I took that back."
    assert book.undone(result("light_switch", Status.UNREACHABLE), TOOLS) == "I could not take that back."
    assert (
        book.undone(result("light_switch", Status.REFUSED, "There is nothing to undo."), TOOLS)
        == "There is nothing to undo."
    )
    assert "took" not in book.undone(result("light_switch", Status.TIMEOUT), TOOLS)


@pytest.mark.parametrize(
    ("value", "schema", "text"),
    [
        (22.5, {"x-unit": "celsius"}, "22.5 degrees"),
        (1, {"x-unit": "piece"}, "1 piece"),
        (3, {"x-unit": "piece"}, "3 pieces"),
        (50, {"x-unit": "percent"}, "50 percent"),
        (-5, {"x-unit": "celsius"}, "minus 5 degrees"),
        (6, {"x-unit": "foot"}, "6 feet"),
        (0.1 + 0.2, {}, "0.3"),
        (21.0, {}, "21"),
        (True, {}, "yes"),
        (None, {}, ""),
        ("PT1H30M", {"format": "duration"}, "an hour and a half"),
        ("PT2H30M", {}, "2 and a half hours"),
        ("PT5M", {}, "5 minutes"),
        ("PT1H1M1S", {}, "1 hour, 1 minute and 1 second"),
        ("07:00", {"format": "time"}, "7 in the morning"),
        ("18:45", {}, "6:45 in the evening"),
        ("09:05", {}, "9 oh 5 in the morning"),
        ("00:00", {}, "midnight"),
        ("12:00", {}, "noon"),
        ("2026-11-22", {"format": "date"}, "tomorrow"),
        ("2026-11-24", {}, "Tuesday"),
        ("2027-01-02", {}, "Saturday the 2nd of January 2027"),
        ("2026-02-31", {}, "2026-02-31"),
        ("2026-11-21T07:00", {"format": "date-time"}, "7 in the morning"),
        ("2026-11-22T20:30", {}, "tomorrow at 8:30 in the evening"),
        ("AB14", {"format": "identifier"}, "A B 14"),
        ("living_room", {}, "living room"),
        (["a", "b", "c"], {}, "a, b and c"),
        ("P", {}, "P"),
    ],
)
def test_values_are_said_as_people_say_them(value: Any, schema: dict[str, Any], text: str):
    assert spoken(value, schema, today=TODAY) == text


def test_durations_of_every_size():
    assert [duration(s) for s in (0, 1, 59, 60, 90, 3600, 86400, 2.5, 604800 * 2)] == [
        "0 seconds", "1 second", "59 seconds", "a minute", "a minute and a half", "an hour", "1 day", "2.5 seconds", "2 weeks",
    ]  # fmt: skip
    assert joined([]) == "" and joined(["a", "b"], "or") == "a or b"


def test_sentences_are_cut_where_they_end():
    assert split_sentences("It is 22.5 degrees. Dr. Ray called! What now?  Fine") == [
        "It is 22.5 degrees.", "Dr. Ray called!", "What now?", "Fine",
    ]  # fmt: skip
    assert split_sentences("  ") == []
    long = "one, " * 100
    parts = split_sentences(long)
    assert len(parts) > 1 and all(len(part) <= 240 for part in parts)
    assert "".join(parts).replace(" ", "") == long.replace(" ", "")

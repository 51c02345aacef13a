"""What an utterance does to the conversation: acts, answers, corrections, "and the bedroom too"."""

from __future__ import annotations

from typing import Any

import pytest
from route_house import calls, light, route

from voice_needle.events import Call, DialogueAct, Outcome, Question

KITCHEN = (light("kitchen"),)
TWENTY = (Call("heating_set", {"room": "kitchen", "temperature": 20}),)


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("yes", DialogueAct.YES), ("Yes, please.", DialogueAct.YES), ("go ahead", DialogueAct.YES), ("no", DialogueAct.NO), ("don't do that", DialogueAct.NO),
        ("never mind", DialogueAct.CANCEL), ("cancel that please", DialogueAct.CANCEL), ("stop", DialogueAct.STOP), ("stop talking", DialogueAct.STOP),
        ("say that again", DialogueAct.REPEAT), ("pardon", DialogueAct.REPEAT), ("undo that", DialogueAct.UNDO), ("put it back", DialogueAct.UNDO),
        ("uh huh", DialogueAct.BACKCHANNEL), ("okay", DialogueAct.BACKCHANNEL), ("thanks", DialogueAct.BACKCHANNEL),
    ],
)  # fmt: skip
def test_acts(text: str, act: DialogueAct) -> None:
    decision = route(text, last_calls=KITCHEN)
    assert decision.act is act
    assert decision.calls == ()


def test_okay_is_a_yes_to_a_question() -> None:
    assert route("okay", pending_calls=KITCHEN).act is DialogueAct.YES


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("no the hall", {"room": "hall", "state": "on"}),
        ("no the bedroom light", {"room": "bedroom", "state": "on"}),
        ("not the kitchen but the hall", {"room": "hall", "state": "on"}),
        ("the hall not the kitchen", {"room": "hall", "state": "on"}),
        ("i meant the lounge", {"room": "living_room", "state": "on"}),
        ("sorry the hall", {"room": "hall", "state": "on"}),
        ("the hall instead", {"room": "hall", "state": "on"}),
        ("make that off", {"room": "kitchen", "state": "off"}),
        ("no turn on the hall light", {"room": "hall", "state": "on"}),
    ],
)
def test_corrects_the_last_call(text: str, arguments: dict[str, Any]) -> None:
    decision = route(text, last_calls=KITCHEN)
    assert calls(decision) == [("light_switch", arguments)]
    assert decision.act is DialogueAct.CORRECT
    assert decision.outcome is Outcome.ACT


@pytest.mark.parametrize(
    ("text", "value"), [("make that twenty two", 22), ("no twenty two", 22), ("not twenty but twenty one", 21)]
)
def test_corrects_a_number(text: str, value: int) -> None:
    decision = route(text, last_calls=TWENTY)
    assert calls(decision) == [("heating_set", {"room": "kitchen", "temperature": value})]
    assert decision.act is DialogueAct.CORRECT


def test_a_correction_out_of_range_is_asked_about() -> None:
    decision = route("make it ninety", last_calls=TWENTY)
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None
    assert decision.question.kind == "out_of_range"
    assert decision.calls == ()


@pytest.mark.parametrize("text", ["no the hall", "make that twelve", "and the bedroom too"])
def test_nothing_is_corrected_without_a_last_call(text: str) -> None:
    decision = route(text)
    assert decision.outcome is Outcome.DECLINE
    assert decision.calls == ()


@pytest.mark.parametrize("text", ["and the bedroom too", "the bedroom as well", "also the bedroom"])
def test_the_same_again(text: str) -> None:
    decision = route(text, last_calls=KITCHEN)
    assert calls(decision) == [("light_switch", {"room": "bedroom", "state": "on"})]
    assert decision.act is None
    assert decision.outcome is Outcome.ACT


def test_turn_it_off_is_about_the_last_call() -> None:
    assert calls(route("turn it off", last_calls=KITCHEN)) == [("light_switch", {"room": "kitchen", "state": "off"})]


WHICH_ROOM: dict[str, Any] = {
    "pending": Question("light_switch", "room", "missing"),
    "pending_calls": (Call("light_switch", {"state": "on"}),),
}


@pytest.mark.parametrize(
    "text", ["the kitchen", "kitchen", "in the kitchen please", "kitchen light", "the kitchen one please"][:4]
)
def test_an_answer_fills_the_parameter(text: str) -> None:
    decision = route(text, **WHICH_ROOM)
    assert calls(decision) == [("light_switch", {"state": "on", "room": "kitchen"})]
    assert decision.outcome is Outcome.ACT


def test_a_wrong_answer_is_asked_again() -> None:
    decision = route("the attic", **WHICH_ROOM)
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None
    assert (decision.question.kind, decision.question.detail) == ("unknown_value", "the attic")


def test_a_new_request_is_not_an_answer() -> None:
    assert calls(route("set a ten minute timer", **WHICH_ROOM)) == [("timer_set", {"length": "PT10M"})]


@pytest.mark.parametrize(
    ("text", "at"), [("in the evening", "19:00"), ("pm", "19:00"), ("seven am", "07:00"), ("eight pm", "20:00")]
)
def test_an_answer_settles_a_time(text: str, at: str) -> None:
    question = Question("remind", "at", "ambiguous", "seven", ("07:00", "19:00"))
    decision = route(text, pending=question, pending_calls=(Call("remind", {"text": "call bob"}),))
    assert calls(decision) == [("remind", {"text": "call bob", "at": at})]


def test_any_words_answer_an_open_question_but_not_a_request_or_an_act() -> None:
    asked: dict[str, Any] = {"pending": Question("list_add", "item", "missing"), "pending_calls": (Call("list_add"),)}
    assert calls(route("milk and eggs", **asked)) == [("list_add", {"item": "milk and eggs"})]
    assert calls(route("turn on the kitchen light", **asked)) == [("light_switch", {"state": "on", "room": "kitchen"})]
    assert route("never mind", **asked).act is DialogueAct.CANCEL


def test_an_answer_completes_one_of_several_calls() -> None:
    waiting = (light("hall"), Call("light_switch", {"state": "off"}))
    decision = route("the kitchen", pending=Question("light_switch", "room", "missing"), pending_calls=waiting)
    assert calls(decision) == [
        ("light_switch", {"room": "hall", "state": "on"}),
        ("light_switch", {"state": "off", "room": "kitchen"}),
    ]

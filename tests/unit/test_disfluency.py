"""People who stumble are understood as what they meant in the end, and nothing that turns a meaning round is dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voice_needle.disfluency import mended, surer, without_repeats
from voice_needle.events import Call, Decision, DialogueAct, Outcome

REQUESTS = {
    "turn on the hall light": Call("light", {"room": "hall"}),
    "turn on the kitchen light": Call("light", {"room": "kitchen"}),
    "pick twelve boxes of tape": Call("pick", {"quantity": 12}),
    "pick five boxes of tape": Call("pick", {"quantity": 5}),
}
STARTS = {"close the", "what is", "turn"}


def route(text: str, before: tuple[Call, ...]) -> Decision:
    """Knows four sentences, three beginnings, and one correction of the call before."""
    if text in REQUESTS:
        return Decision((REQUESTS[text],), Outcome.ACT, 1.0)
    if before and text == "make that nine":
        return Decision((Call(before[-1].tool, {"quantity": 9}),), Outcome.ACT, 0.9, act=DialogueAct.CORRECT)
    return Decision(complete=text not in STARTS)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("turn on turn on the hall light", REQUESTS["turn on the hall light"]),
        ("turn on the the hall light", REQUESTS["turn on the hall light"]),
        ("pick five no twelve boxes of tape", REQUESTS["pick twelve boxes of tape"]),
        ("turn on the hall no wait kitchen light", REQUESTS["turn on the kitchen light"]),
        ("pick five five boxes of tape", REQUESTS["pick five boxes of tape"]),
        ("close the turn on the hall light", REQUESTS["turn on the hall light"]),
        ("what is turn on the hall light", REQUESTS["turn on the hall light"]),
        ("pick five boxes of tape make that nine", Call("pick", {"quantity": 9})),
    ],
)
def test_what_was_meant_in_the_end(said: str, meant: Call):
    decision = mended(said, route)
    assert decision is not None and decision.calls == (meant,)


@pytest.mark.parametrize(
    "said",
    [
        "never turn on the hall light",
        "if it rains turn on the hall light",
        "she said turn on the hall light",
        "i wonder who would turn on the hall light",
        "did you turn on the hall light",
        "the weather is nice",
        "",
    ],
)
def test_what_is_no_request_stays_none(said: str):
    assert mended(said, route) is None


def test_a_corrected_call_is_only_as_sure_as_its_correction():
    decision = mended("pick five boxes of tape make that nine", route)
    assert decision is not None and decision.confidence == 0.9


def test_digits_that_are_said_twice_stay_two():
    assert without_repeats(["bin", "five", "five"]) == ["bin", "five", "five"]
    assert without_repeats(["bin", "five", "five"], numbers=True) == ["bin", "five"]
    assert without_repeats(["can", "you", "can", "you", "can", "you", "help"]) == ["can", "you", "help"]


def test_a_reading_that_is_sure_is_preferred_to_an_earlier_one_that_must_be_confirmed():
    def doubtful(text: str, before: tuple[Call, ...]) -> Decision:
        if text == "the turn on the hall light":
            return Decision((Call("other"),), Outcome.CONFIRM, 0.6)
        return replace(route(text, before), complete=False) if text == "close" else route(text, before)

    decision = mended("close the turn on the hall light", doubtful)
    assert decision is not None and decision.calls == (REQUESTS["turn on the hall light"],)


@pytest.mark.parametrize(("before", "sure", "better"), [(0.4, 0.99, True), (0.6, 0.99, False), (0.4, 0.9, False)])
def test_other_tools_are_believed_only_where_the_words_as_they_are_suggest_what_is_likelier_wrong(before: float, sure: float, better: bool):
    found = Decision((Call("pick"),), Outcome.ACT, sure)
    assert surer(found, Decision((Call("count"),), Outcome.CONFIRM, before)) is better


@pytest.mark.parametrize(("said", "believed"), [("count the pick five", True), ("count some pick five", False), ("is the light on", False)])
def test_a_beginning_without_its_noun_is_no_reading_to_ask_about(said: str, believed: bool):
    def route(text: str, before: tuple[Call, ...]) -> Decision:
        whole = text.removeprefix("the ") in ("pick five", "light on")
        calls = (Call("pick" if "pick" in text else "light"),) if whole else ()
        return Decision(calls, Outcome.ACT if whole else Outcome.DECLINE, 0.99, complete=whole)

    found = mended(said, route)
    assert found is not None and found.calls
    assert surer(found, Decision((Call("other"),), Outcome.CONFIRM, 0.7)) is believed

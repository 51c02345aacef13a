"""Which of several readings of one sound is meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voice_needle.barge_in import Verdict, judge
from voice_needle.disfluency import FALSE_START
from voice_needle.events import Call, Decision, DialogueAct, Outcome, Question, Transcript
from voice_needle.readings import both, contested, final_reading, other_reading, second_reading
from voice_needle.tools import Confirm, Policy, Tool
from voice_needle.turn import Memory

REQUEST = Decision((Call("light"),), Outcome.ACT, 1.0)
ASIDE = Decision()
STOP = Decision(act=DialogueAct.STOP)


async def test_a_doubtful_stop_counts_when_the_partial_words_said_so_too():
    async def decide(transcript: Transcript) -> Decision:
        return STOP if transcript.text == "stop" else ASIDE

    doubtful = Transcript("stop", refused="out of domain")
    heard, decision = await second_reading(doubtful, ASIDE, "stop", decide)
    assert decision.act is DialogueAct.STOP and not heard.refused
    heard, decision = await second_reading(doubtful, ASIDE, "turn", decide)
    assert decision is ASIDE and heard.refused


async def test_an_objection_is_read_as_a_correction_where_another_reading_is_one():
    correction = Decision((Call("light", {"room": "kitchen"}),), Outcome.ACT, 1.0, act=DialogueAct.CORRECT)

    async def decide(transcript: Transcript) -> Decision:
        return correction if transcript.text == "no the kitchen" else REQUEST

    heard, decision = await second_reading(Transcript("no dim kitchen"), REQUEST, "no the kitchen", decide)
    assert (heard.text, decision) == ("no the kitchen", correction)
    assert judge(heard, decision) is Verdict.CORRECT
    heard, decision = await second_reading(Transcript("dim the kitchen"), REQUEST, "no the kitchen", decide)
    assert decision is REQUEST


HEARD = Transcript(
    "close study turned on the hall light", confidence=0.6, alternatives=("close the turn on the hall light",)
)
HALL = Decision((Call("light", {"room": "hall", "state": "on"}),), Outcome.ACT, 0.99)
ELSEWHERE = Decision((Call("light", {"room": "study"}),), Outcome.CONFIRM, 0.8)


async def decided(first: Decision, transcript: Transcript = HEARD) -> tuple[str, Decision]:
    async def decide(read: Transcript) -> Decision:
        assert read.text == transcript.alternatives[0]
        return HALL

    read, decision = await other_reading(transcript, first, decide)
    return read.text, decision


async def test_where_the_first_reading_means_nothing_another_may():
    assert await decided(Decision()) == (HEARD.alternatives[0], HALL)


@pytest.mark.parametrize(
    "first",
    [REQUEST, STOP, ELSEWHERE, Decision(reason="negated"), replace(Decision(), reason="answer")],
    ids=["a request", "a word to us", "another call, in doubt", "refused for good reason", "an answer"],
)
async def test_the_first_reading_stands(first: Decision):
    assert await decided(first) == (HEARD.text, first)


@pytest.mark.parametrize(
    ("again", "stands"),
    [(HALL, False), (replace(HALL, reason=f"template, {FALSE_START}"), True), (ELSEWHERE, True), (Decision(), True)],
    ids=["a whole request", "broken off, too", "in doubt", "nothing"],
)
async def test_a_whole_request_is_likelier_than_one_after_a_false_start(again: Decision, stands: bool):
    """ "Turn on the kitchen light off" was heard for "turn on the kitchen light", and the light went off."""
    broken = replace(ELSEWHERE, outcome=Outcome.ACT, reason=f"template, {FALSE_START}, mended")

    async def decide(read: Transcript) -> Decision:
        return again

    read, decision = await other_reading(HEARD, broken, decide)
    assert (read, decision) == (HEARD, broken) if stands else (read.text, decision) == (HEARD.alternatives[0], HALL)


async def test_another_reading_makes_the_same_call_certain():
    doubtful = Decision((Call("light", {"room": "hall"}),), Outcome.CONFIRM, 0.8)
    assert await decided(doubtful) == (HEARD.alternatives[0], HALL)


async def test_a_correction_to_what_is_so_already_was_heard_wrongly():
    asked = Decision((), Outcome.ASK, 0.99, Question("light", "room", "same", "hall"), DialogueAct.CORRECT)

    async def other(again: Decision) -> Decision:
        async def decide(read: Transcript) -> Decision:
            return again

        return (await other_reading(HEARD, asked, decide))[1]

    corrected = replace(HALL, act=DialogueAct.CORRECT)
    assert await other(corrected) == corrected
    assert await other(HALL) == asked  # another request is no correction
    assert await other(asked) == asked


async def test_what_was_refused_stays_refused():
    refused = replace(HEARD, refused="out of domain")
    assert await decided(Decision(), refused) == (HEARD.text, Decision())


def test_both_is_every_option_or_also_what_was_corrected():
    lamp = Call("light", {"room": "hall"})
    memory = Memory(replaced=lamp)
    found = both("no, both please", memory)
    assert found is not None and found.calls == (lamp,)
    assert both("the hall", memory) is None
    memory.ask(Question("light", "room", "ambiguous", options=("hall", "den")), (Call("light"),), 1.0)
    found = both("both of them", memory)
    assert found is not None and [call.arguments["room"] for call in found.calls] == ["hall", "den"]


LEVEL = Decision(
    (Call("light_level", {"room": "hall", "level": 40}, {"room": "hall", "level": "forty"}),), Outcome.ACT, 0.99
)


@pytest.mark.parametrize(
    ("text", "again", "outcome"),
    [
        ("set the hall light to fourteen", replace(LEVEL, calls=(Call("light_level", {"room": "hall", "level": 14}),)), Outcome.CONFIRM),
        ("set the whole light to forty", LEVEL, Outcome.ACT),
        ("that the hall light too far", Decision(), Outcome.ACT),
        ("that the tall light too far", Decision(), Outcome.CONFIRM),
        ("stop", STOP, Outcome.CONFIRM),
    ],
    ids=["another request", "the same request", "one word unheard", "two words unheard", "nothing of it"],
)  # fmt: skip
async def test_what_another_reading_contests_is_asked_about(text: str, again: Decision, outcome: Outcome):
    async def decide(read: Transcript) -> Decision:
        assert read.text == text
        return again

    heard = Transcript("set the hall light to forty", alternatives=(text,))
    assert (await contested(heard, LEVEL, decide, {})).outcome is outcome
    assert (await contested(replace(heard, alternatives=()), LEVEL, decide, {})) is LEVEL


async def test_a_tool_that_must_never_ask_acts_although_another_reading_contests_it():
    async def decide(read: Transcript) -> Decision:
        return Decision()

    tool = Tool("light_level", "", {}, policy=Policy(confirm=Confirm.NEVER))
    heard = Transcript("set the hall light to forty", alternatives=("set that all right",))
    assert (await contested(heard, LEVEL, decide, {"light_level": tool})) is LEVEL


@pytest.mark.parametrize(
    ("noisy", "confidence", "outcome"), [(True, 0.97, Outcome.CONFIRM), (True, 0.995, Outcome.ACT), (False, 0.6, Outcome.ACT)]
)
async def test_what_noise_makes_doubtful_is_asked_about(noisy: bool, confidence: float, outcome: Outcome):
    async def decide(read: Transcript) -> Decision:
        return HALL

    light = Tool("light", "", {})
    heard = Transcript("the hall light", confidence=confidence, noisy=noisy)
    assert (await final_reading(heard, decide, {"light": light}))[1].outcome is outcome
    assert (await final_reading(heard, decide, {"light": replace(light, policy=Policy(confirm=Confirm.NEVER))}))[1] == HALL


async def test_words_to_us_count_in_noise_too():
    async def decide(read: Transcript) -> Decision:
        return STOP

    assert (await final_reading(Transcript("stop", confidence=0.6, noisy=True), decide, {}))[1] == STOP

"""Spans widened to whole phrases, and left alone where the schema does not ask for it."""

from __future__ import annotations

import pytest

from voice_needle.route.whole_phrase import Wanted, wanted, whole

TIME = {"type": "string", "description": "The date or time phrase as said."}
TIMER = {
    "start_human": TIME,
    "time_human": {"type": "string", "description": "The duration or end time, e.g. '45 minutes'."},
}


@pytest.mark.parametrize(
    ("name", "properties", "kinds", "verbatim"),
    [
        ("time_human", TIMER, {"time", "duration"}, False),
        ("startTime", {"startTime": TIME}, {"date", "time"}, False),
        ("when", {"when": {"type": "string"}}, {"date", "time"}, False),
        ("time", {"time": TIME, "date": {"type": "string"}}, {"time"}, False),
        ("date", {"date": {"type": "string"}, "time": TIME}, set(), False),
        ("timezone", {"timezone": TIME}, set(), False),
        ("time_format", {"time_format": TIME}, set(), False),
        ("time", {"time": {"type": "string", "format": "time"}}, set(), False),
        ("time", {"time": {"type": "integer"}}, set(), False),
        ("message", {"message": {"type": "string", "description": "What to say, copied word for word."}}, set(), True),
        ("message", {"message": {"type": "string", "description": "What to say."}}, set(), False),
        ("absent", {}, set(), False),
    ],
)  # fmt: skip
def test_what_a_parameter_asks_for(name: str, properties: dict, kinds: set[str], verbatim: bool) -> None:
    found = wanted(name, properties)
    assert (found.kinds, found.verbatim) == (kinds, verbatim)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "string"}, True),
        ({"type": "string", "x-vocabulary": "rooms"}, False),
        ({"type": "string", "enum": ["Kitchen", "Hall"]}, False),
        ({"type": "integer"}, False),
    ],
)
def test_only_free_text_may_be_a_name(schema: dict, named: bool) -> None:
    assert wanted("contact", {"contact": schema}).named is named


@pytest.mark.parametrize(
    ("text", "span", "name"),
    [
        ("save Leo Park to contacts", "Leo", "Leo Park"),
        ("save a note titled Packing List saying bring boots", "Packing", "Packing List"),
        ("add Nadia Osei, Leo Park and me", "Nadia", "Nadia Osei"),
        ("call Anna Monday morning", "Anna", "Anna"),
        ("was it Anna? Tell Leo", "Anna", "Anna"),
        ("ask Anna (Leo knows)", "Anna", "Anna"),
        ("may Anna I ask", "Anna", "Anna"),
        ("CALL ANNA NOW", "ANNA", "ANNA"),
        ("call anna lee", "anna", "anna"),
        ("play Kind of Blue", "Kind", "Kind"),
        ("tell Leo Park.", "Leo", "Leo Park"),
    ],
)
def test_capitals_say_where_a_name_ends(text: str, span: str, name: str) -> None:
    start = text.index(span)
    found = whole(text, start, start + len(span), len(text), Wanted(named=True))
    assert found and text[slice(*found)] == name


def test_a_name_does_not_reach_into_the_next_request() -> None:
    text = "save Leo Park Drive"
    assert whole(text, 5, 8, text.index("Drive"), Wanted(named=True)) == (5, 13)


BOTH = Wanted(frozenset(["date", "time"]))
LENGTH = Wanted(frozenset(["time", "duration"]))
WORDS = Wanted(verbatim=True)


@pytest.mark.parametrize(
    ("text", "said", "want", "expected"),
    [
        ("remind me tomorrow at 3pm to call", "3pm", BOTH, "tomorrow at 3pm"),
        ("meet on Wednesday at 7pm at Riverside Library", "7pm", BOTH, "Wednesday at 7pm"),
        ("meet on Wednesday at 7pm at Riverside Library", "Wednesday", BOTH, "Wednesday at 7pm"),
        ("the game is next friday in the evening with Bob", "friday", BOTH, "next friday in the evening"),
        ("wake me at half past seven in the morning please", "seven", BOTH, "half past seven in the morning"),
        ("meet tomorrow, 3pm is tea", "tomorrow", BOTH, "tomorrow"),
        ("call me at 3pm tomorrow", "3pm", Wanted(frozenset(["time"])), "3pm"),
        ("set a timer for 25 minutes", "25", LENGTH, "25 minutes"),
        ("timer for one hour and twenty minutes and lights off", "one hour", LENGTH, "one hour and twenty minutes"),
        ("timer for negative 5 minutes", "5 minutes", LENGTH, "negative 5 minutes"),
        ("set a timer for the pasta", "pasta", LENGTH, None),
        ("remind me after lunch", "lunch", BOTH, "lunch"),
        ("play Purple Rain by Prince", "Purple Rain", WORDS, "Purple Rain by Prince"),
        ("log oatmeal with berries for breakfast", "oatmeal", WORDS, "oatmeal with berries"),
        ("note the key is under the mat, and call Bob", "the key", WORDS, "the key is under the mat"),
        ("play jazz in the kitchen", "jazz", WORDS, "jazz"),
        ("play jazz, by all means", "jazz", WORDS, "jazz"),
    ],
)  # fmt: skip
def test_the_span_becomes_the_phrase(text: str, said: str, want: Wanted, expected: str | None) -> None:
    start = text.index(said)
    found = whole(text, start, start + len(said), len(text), want)
    assert (text[slice(*found)] if found else None) == expected


def test_the_next_calls_words_are_not_taken() -> None:
    text = "timer for ten minutes and 5pm tea with milk"
    assert whole(text, 10, 13, text.index("5pm"), LENGTH) == (10, 21)
    text = "play jazz with trumpets"
    assert whole(text, 5, 9, 10, WORDS) == (5, 9)


@pytest.mark.parametrize(
    ("text", "span", "value"),
    [
        ("Find 'The Long Way: Home' on disc", "Long", "The Long Way: Home"),
        ('note "call Anna, then Leo" for me', "Anna", "call Anna, then Leo"),
        ("say 'let's eat' in the hall", "eat", "let's eat"),
        ("it's Anna's and Leo's", "Anna's", "Anna's"),
        ("What is Einstein's theory about", "Einstein's", "Einstein"),
        ("Book a table at Wendy's for two", "Wendy's", "Wendy's"),
        ("Go to Wendy's", "Wendy's", "Wendy's"),
        ("what is on mum's list", "mum's", "mum's"),
    ],
)
def test_marks_and_possessives_say_where_a_value_ends(text: str, span: str, value: str) -> None:
    start = text.index(span)
    found = whole(text, start, start + len(span), len(text), Wanted(named=True))
    assert found is not None and text[slice(*found)] == value

"""Spans to typed values: what people say, what a recogniser writes, and what must be refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_needle.events import RouteContext
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.values import parse_value

NOW = datetime(2026, 11, 21, 10, 0)  # a Saturday
CONTEXT = RouteContext(now=NOW)

NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
PERCENT = {"type": "integer", "x-unit": "percent", "minimum": 0, "maximum": 100}
FULL = {**PERCENT, "x-spoken": {"100": ["full", "max", "all the way up"], "1": ["minimum"]}}
CELSIUS = {"type": "number", "x-unit": "celsius", "minimum": 5, "maximum": 30, "multipleOf": 0.5}
FAHRENHEIT = {"type": "integer", "x-unit": "fahrenheit"}
MINUTES = {"type": "integer", "x-unit": "minute", "minimum": 1, "maximum": 600}
SECONDS = {"type": "number", "x-unit": "second"}
BOXES = {"type": "integer", "x-unit": "box"}
PIECES = {"type": "integer", "x-unit": "piece", "minimum": 1}
KILOS = {"type": "number", "x-unit": "kilogram"}
KPH = {"type": "number", "x-unit": "kilometer_per_hour"}
TIME = {"type": "string", "format": "time"}
MORNING = {**TIME, "x-part-of-day": "am"}
NEXT = {**TIME, "x-part-of-day": "next"}
DURATION = {"type": "string", "format": "duration"}
DATE = {"type": "string", "format": "date"}
MOMENT = {"type": "string", "format": "date-time"}
BOOL = {"type": "boolean"}
OPENED = {"type": "boolean", "x-spoken": {"true": ["open", "wide open"], "false": ["shut", "closed"]}}
ROOM = {
    "enum": ["living_room", "kitchen", "hall", "study"],
    "x-spoken": {
        "living_room": ["living room", "lounge", "sitting room"],
        "hall": ["hall", "hallway"],
        "study": ["study", "office"],
    },
}
TWIN = {"enum": ["lamp_1", "lamp_2"], "x-spoken": {"lamp_1": ["reading lamp", "lamp"], "lamp_2": ["desk lamp", "lamp"]}}
LEVEL = {"type": "integer", "enum": [1, 2, 3]}
IDENT = {"type": "string", "format": "identifier"}
BIN = {"type": "string", "format": "identifier", "pattern": r"^[A-Z]\d{2}$"}
ORDER = {"type": "string", "format": "identifier", "pattern": r"^\d{3}-[A-Z]$"}
OPEN = {"type": "string"}
LIST = {"type": "array", "items": {"type": "string"}}
ROOMS = {"type": "array", "items": ROOM, "uniqueItems": True}
NUMBERS = {"type": "array", "items": {"type": "integer"}}

READ: list[tuple[str, Mapping[str, Any], Any]] = [
    # numbers
    ("twenty two point five", NUMBER, 22.5), ("22.5", NUMBER, 22.5), ("a hundred and five", NUMBER, 105), ("half", NUMBER, 0.5),
    ("minus five", NUMBER, -5), ("negative three point two", NUMBER, -3.2), ("-5", NUMBER, -5), ("a dozen", INTEGER, 12),
    ("two dozen", INTEGER, 24), ("half a dozen", INTEGER, 6), ("one thousand two hundred", INTEGER, 1200), ("three quarters", NUMBER, 0.75),
    ("zero", INTEGER, 0), ("nought", INTEGER, 0), ("twenty", INTEGER, 20), ("twenty-two", INTEGER, 22), ("twenty two", INTEGER, 22),
    ("nineteen", INTEGER, 19), ("a hundred", INTEGER, 100), ("one hundred", INTEGER, 100), ("fifteen hundred", INTEGER, 1500),
    ("twenty one hundred", INTEGER, 2100), ("two thousand and six", INTEGER, 2006), ("1,200", INTEGER, 1200), ("2 thousand", INTEGER, 2000),
    ("2.5 million", INTEGER, 2500000), ("one and a half million", INTEGER, 1500000), ("half a million", INTEGER, 500000),
    ("two and a half", NUMBER, 2.5), ("three and three quarters", NUMBER, 3.75), ("a quarter", NUMBER, 0.25), ("point five", NUMBER, 0.5),
    ("zero point oh five", NUMBER, 0.05), ("nought point seven five", NUMBER, 0.75), ("six point twenty five", NUMBER, 6.25),
    ("one eighty", NUMBER, 180), ("two fifty five", NUMBER, 255), ("four seven two", INTEGER, 472), ("one oh five", INTEGER, 105),
    ("double seven", INTEGER, 77), ("number seven", INTEGER, 7), ("third", INTEGER, 3), ("the second", INTEGER, 2), ("twenty first", INTEGER, 21),
    ("3rd", INTEGER, 3), ("a couple of", INTEGER, 2), ("a pair", INTEGER, 2), ("um twelve please", INTEGER, 12), ("three hundred and sixty five", INTEGER, 365),
    ("nine hundred ninety nine", INTEGER, 999), ("one million two hundred thousand and five", INTEGER, 1200005), ("seven", NUMBER, 7),
    ("forty two", {"type": "float"}, 42), ("five", {"type": "double"}, 5), ("five", {"minimum": 1}, 5), ("twelve boxes", INTEGER, 12),
    ("ten meters", INTEGER, 10), ("two point oh", INTEGER, 2), ("twenty twenty six", {"type": "integer", "minimum": 1900}, 2026),
    ("nineteen oh five", {"type": "integer", "description": "The year of release"}, 1905), ("ninety nine point nine", NUMBER, 99.9),
    # percent
    ("fifty percent", PERCENT, 50), ("50%", PERCENT, 50), ("fifty", PERCENT, 50), ("half", PERCENT, 50), ("a quarter", PERCENT, 25),
    ("three quarters", PERCENT, 75), ("a third percent", {**PERCENT, "type": "number"}, pytest.approx(1 / 3)), ("one hundred percent", PERCENT, 100),
    ("per cent", PERCENT, None), ("full", FULL, 100), ("max", FULL, 100), ("all the way up", FULL, 100), ("minimum", FULL, 1), ("zero percent", PERCENT, 0),
    ("fifty percent", {"type": "number", "minimum": 0, "maximum": 1}, 0.5), ("twenty per cent", PERCENT, 20), ("half way", PERCENT, 50),
    # units
    ("twenty degrees", CELSIUS, 20), ("twenty one and a half degrees", CELSIUS, 21.5), ("twenty one point five", CELSIUS, 21.5), ("20°C", CELSIUS, 20),
    ("sixty eight degrees fahrenheit", CELSIUS, 20), ("seventy two fahrenheit", CELSIUS, 22), ("twenty degrees celsius", FAHRENHEIT, 68),
    ("twenty centigrade", FAHRENHEIT, 68), ("five minutes", MINUTES, 5), ("two hours", MINUTES, 120), ("half an hour", MINUTES, 30),
    ("an hour and a half", MINUTES, 90), ("a minute", MINUTES, 1), ("ten", MINUTES, 10), ("two minutes", SECONDS, 120), ("one hour", SECONDS, 3600),
    ("ninety seconds", SECONDS, 90), ("three boxes", BOXES, 3), ("one box", BOXES, 1), ("three", BOXES, 3), ("seven pieces", PIECES, 7),
    ("seven of them", PIECES, 7), ("seven", PIECES, 7), ("five hundred grams", KILOS, 0.5), ("two and a half kilos", KILOS, 2.5),
    ("ten pounds", KILOS, pytest.approx(4.5359237)), ("sixty miles per hour", KPH, pytest.approx(96.56064)), ("fifty kilometers per hour", KPH, 50),
    ("fifty kilometres an hour", KPH, 50), ("2 hours", {"type": "integer", "description": "Play time in minutes"}, 120),
    # clock times
    ("seven thirty pm", TIME, "19:30"), ("7:30 pm", TIME, "19:30"), ("7.30pm", TIME, "19:30"), ("seven p m", TIME, "19:00"), ("7 a.m.", TIME, "07:00"), ("noon", TIME, "12:00"),
    ("midday", TIME, "12:00"), ("midnight", TIME, "00:00"), ("twelve noon", TIME, "12:00"), ("nineteen forty five", TIME, "19:45"), ("19:45", TIME, "19:45"),
    ("07:00", TIME, "07:00"), ("oh seven thirty", TIME, "07:30"), ("eight hundred hours", TIME, "08:00"), ("eighteen hundred hours", TIME, "18:00"),
    ("half past six in the evening", TIME, "18:30"), ("quarter to eight in the morning", TIME, "07:45"), ("a quarter past nine am", TIME, "09:15"),
    ("ten to one pm", TIME, "12:50"), ("twenty five to three in the afternoon", TIME, "14:35"), ("five minutes past six am", TIME, "06:05"),
    ("quarter past midnight", TIME, "00:15"), ("quarter to noon", TIME, "11:45"), ("seven o'clock in the morning", TIME, "07:00"), ("seven oh five am", TIME, "07:05"),
    ("at seven in the evening", TIME, "19:00"), ("eight tonight", TIME, "20:00"), ("two at night", TIME, "02:00"), ("twelve pm", TIME, "12:00"),
    ("twelve am", TIME, "00:00"), ("half six pm", TIME, "18:30"), ("1830", TIME, "18:30"), ("seven", MORNING, "07:00"), ("half past six", MORNING, "06:30"),
    ("eleven", NEXT, "11:00"), ("nine", NEXT, "21:00"), ("thirteen thirty", TIME, "13:30"), ("ten past twenty two", TIME, "22:10"),
    # as engineers type them
    ("1e-9", NUMBER, 1e-9), ("5C", NUMBER, 5), ("100µF", NUMBER, 100), ("1,500kN", NUMBER, 1500),
    # a percentage where the schema does not count in percent
    ("5%", NUMBER, 5), ("5%", {"type": "number", "description": "Yearly growth rate"}, 0.05),
    ("5%", {"type": "number", "description": "Interest rate in percent"}, 5),
    ("5%", {"type": "number", "description": "Interest rate in decimal form, 5% is 0.05"}, 0.05), ("five percent", {"type": "number", "maximum": 1}, 0.05), ("five percent", {"type": "number", "maximum": 100}, 5),
    ("five percent", {"type": "number", "description": "Yearly rate in percent"}, 5), ("five percent", INTEGER, 5),
    # durations
    ("ten minutes", DURATION, "PT10M"), ("an hour and a half", DURATION, "PT1H30M"), ("half an hour", DURATION, "PT30M"),
    ("one and a half hours", DURATION, "PT1H30M"), ("two hours thirty minutes", DURATION, "PT2H30M"), ("two hours and thirty minutes", DURATION, "PT2H30M"),
    ("ninety seconds", DURATION, "PT1M30S"), ("a quarter of an hour", DURATION, "PT15M"), ("three quarters of an hour", DURATION, "PT45M"),
    ("an hour and twenty", DURATION, "PT1H20M"), ("1h30m", DURATION, "PT1H30M"), ("5 min", DURATION, "PT5M"), ("two days and four hours", DURATION, "P2DT4H"),
    ("for ten minutes", DURATION, "PT10M"), ("a couple of minutes", DURATION, "PT2M"), ("a minute and thirty seconds", DURATION, "PT1M30S"),
    ("two hours and a half", DURATION, "PT2H30M"), ("a week", DURATION, "P7D"), ("a minute", DURATION, "PT1M"), ("an hour and a quarter", DURATION, "PT1H15M"),
    ("two point five hours", DURATION, "PT2H30M"), ("sixty minutes", DURATION, "PT1H"),
    # dates
    ("today", DATE, "2026-11-21"), ("tomorrow", DATE, "2026-11-22"), ("yesterday", DATE, "2026-11-20"), ("the day after tomorrow", DATE, "2026-11-23"),
    ("tuesday", DATE, "2026-11-24"), ("on tuesday", DATE, "2026-11-24"), ("next tuesday", DATE, "2026-11-24"), ("this saturday", DATE, "2026-11-21"),
    ("saturday", DATE, "2026-11-28"), ("last friday", DATE, "2026-11-20"), ("in three days", DATE, "2026-11-24"), ("three days from now", DATE, "2026-11-24"),
    ("in a week", DATE, "2026-11-28"), ("in two weeks", DATE, "2026-12-05"), ("in a month", DATE, "2026-12-21"), ("two days ago", DATE, "2026-11-19"),
    ("a week from tuesday", DATE, "2026-12-01"), ("the third of may", DATE, "2027-05-03"), ("may third", DATE, "2027-05-03"), ("may 3rd", DATE, "2027-05-03"),
    ("3 may 2028", DATE, "2028-05-03"), ("may the third twenty twenty eight", DATE, "2028-05-03"), ("december the twenty fifth", DATE, "2026-12-25"),
    ("the fifteenth", DATE, "2026-12-15"), ("the 5th", DATE, "2026-12-05"), ("christmas eve", DATE, "2026-12-24"), ("new year's eve", DATE, "2026-12-31"),
    ("2026-12-01", DATE, "2026-12-01"), ("12/25/2026", DATE, "2026-12-25"), ("the twenty ninth of february", DATE, "2028-02-29"), ("twenty first of november", DATE, "2026-11-21"),
    # moments
    ("tomorrow at seven pm", MOMENT, "2026-11-22T19:00"), ("seven pm tomorrow", MOMENT, "2026-11-22T19:00"), ("on friday at noon", MOMENT, "2026-11-27T12:00"),
    ("in two hours", MOMENT, "2026-11-21T12:00"), ("in half an hour", MOMENT, "2026-11-21T10:30"), ("in thirty seconds", MOMENT, "2026-11-21T10:00:30"),
    ("tomorrow morning at seven", MOMENT, "2026-11-22T07:00"), ("tonight at eight", MOMENT, "2026-11-21T20:00"), ("three pm", MOMENT, "2026-11-21T15:00"),
    ("nine am", MOMENT, "2026-11-22T09:00"), ("today at eight", MOMENT, "2026-11-21T20:00"), ("eight on monday morning", MOMENT, "2026-11-23T08:00"),
    ("2026-11-22T07:30", MOMENT, "2026-11-22T07:30"), ("the third of may at quarter to eight in the evening", MOMENT, "2027-05-03T19:45"),
    ("an hour from now", MOMENT, "2026-11-21T11:00"),
    # booleans
    ("yes", BOOL, True), ("off", BOOL, False), ("enabled", BOOL, True), ("no", BOOL, False), ("open", OPENED, True), ("shut", OPENED, False), ("wide open", OPENED, True),
    # names
    ("kitchen", ROOM, "kitchen"), ("the kitchen", ROOM, "kitchen"), ("living room", ROOM, "living_room"), ("the lounge", ROOM, "living_room"),
    ("living_room", ROOM, "living_room"), ("Sitting Room", ROOM, "living_room"), ("kitchens", ROOM, "kitchen"), ("kitchin", ROOM, "kitchen"),
    ("my study", ROOM, "study"), ("hallway", ROOM, "hall"), ("reading lamp", TWIN, "lamp_1"), ("two", LEVEL, 2), ("3", LEVEL, 3), ("number one", LEVEL, 1),
    # identifiers
    ("bin a fourteen", IDENT, "A14"), ("a fourteen", IDENT, "A14"), ("A14", IDENT, "A14"), ("a 14", IDENT, "A14"), ("alpha one four", IDENT, "A14"),
    ("four seven two dash b", IDENT, "472-B"), ("four seven two b", ORDER, "472-B"), ("four seventy two bravo", ORDER, "472-B"), ("472-b", ORDER, "472-B"),
    ("order number four seven two dash bravo", ORDER, "472-B"), ("charlie oh seven", BIN, "C07"), ("bee twelve", BIN, "B12"), ("b as in bravo one two", BIN, "B12"),
    ("double seven bravo", IDENT, "77B"), ("triple zero", IDENT, "000"), ("x ray one", IDENT, "X1"), ("the location c one hundred", IDENT, "C100"), ("a b c", IDENT, "ABC"),
    # lists and open words
    ("milk eggs and bread", LIST, ["milk", "eggs", "bread"]), ("milk, eggs, and bread", LIST, ["milk", "eggs", "bread"]), ("orange juice and bread", LIST, ["orange juice", "bread"]),
    ("butter chicken and banana bread", LIST, ["butter chicken", "banana bread"]), ("fish and chips and milk", LIST, ["fish and chips", "milk"]),
    ("gin and tonic", {"type": "array", "items": {"type": "string", "enum": ["gin", "tonic"]}}, ["gin", "tonic"]),
    ("blue paint and a brush", LIST, ["blue paint", "a brush"]), ("milk", LIST, ["milk"]), ("the kitchen and the hall", ROOMS, ["kitchen", "hall"]),
    ("living room kitchen and hall", ROOMS, ["living_room", "kitchen", "hall"]), ("kitchen and kitchen", ROOMS, ["kitchen"]), ("three five and seven", NUMBERS, [3, 5, 7]),
    ("a hundred and five and two hundred", NUMBERS, [105, 200]), ("call mum", OPEN, "call mum"), ("um call uh mum", OPEN, "call mum"), ("the beatles", OPEN, "the beatles"),
    ("john at example dot com", {"type": "string", "format": "email"}, "john@example.com"), ("five", {"type": "any"}, 5), ("five apples tall", {"type": "any"}, "five apples tall"),
    ("three and four", {"type": "tuple", "items": {"type": "integer"}}, [3, 4]), ("kitchen", {"$ref": "#/$defs/r", "$defs": {"r": ROOM}}, "kitchen"),
    ("kitchen", {"anyOf": [{"type": "integer"}, ROOM]}, "kitchen"), ("five", {"type": ["integer", "null"]}, 5), ("hello", {}, "hello"),
]  # fmt: skip

REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("7pm", INTEGER, "unsupported"), ("3x", BOXES, "unsupported"),
    ("five five", INTEGER, "unsupported"),  # 5, stumbled over, or 55
    ("", NUMBER, "missing"), ("um", OPEN, "missing"), ("ninety degrees", CELSIUS, "out_of_range"), ("four", CELSIUS, "out_of_range"),
    ("twenty point two", CELSIUS, "out_of_range"), ("a hundred and one percent", PERCENT, "out_of_range"), ("minus five", PERCENT, "out_of_range"),
    ("zero", PIECES, "out_of_range"), ("twelve hours", MINUTES, "out_of_range"), ("five", {"type": "integer", "exclusiveMaximum": 5}, "out_of_range"),
    ("two point five", INTEGER, "unsupported"), ("half", INTEGER, "unsupported"), ("ninety seconds", MINUTES, "unsupported"), ("blue", NUMBER, "unsupported"),
    ("two hundred and", INTEGER, "unsupported"), ("one and twenty", INTEGER, "unsupported"), ("twenty eleven", INTEGER, "unsupported"), ("ten five", INTEGER, "unsupported"),
    ("twenty kilos", CELSIUS, "unsupported"), ("twenty percent", CELSIUS, "unsupported"), ("five meters", KILOS, "unsupported"), ("three boxes", CELSIUS, "unsupported"),
    ("five minutes", BOXES, "unsupported"), ("full", PERCENT, "unsupported"), ("a lot", INTEGER, "unsupported"), ("five or six", INTEGER, "unsupported"),
    ("twenty something", INTEGER, "unsupported"), ("hundred", INTEGER, "unsupported"), ("point", NUMBER, "unsupported"), ("minus", NUMBER, "unsupported"),
    ("seven", TIME, "ambiguous"), ("half past six", TIME, "ambiguous"), ("quarter to eight", TIME, "ambiguous"), ("7:30", TIME, "ambiguous"), ("at twelve", TIME, "ambiguous"),
    ("twenty five", TIME, "unsupported"), ("25:10", TIME, "unsupported"), ("seven seventy", TIME, "unsupported"), ("thirteen am", TIME, "unsupported"), ("later", TIME, "unsupported"),
    ("forty five", DURATION, "ambiguous"), ("a while", DURATION, "unsupported"), ("five minutes and two hours", DURATION, "unsupported"), ("ten kilos", DURATION, "unsupported"),
    ("the thirtieth of february", DATE, "unsupported"), ("11/12/2026", DATE, "ambiguous"), ("next week", DATE, "unsupported"), ("someday", DATE, "unsupported"), ("may", DATE, "unsupported"),
    ("tomorrow", MOMENT, "missing"), ("tonight", MOMENT, "missing"), ("tomorrow at seven", MOMENT, "ambiguous"), ("at seven", MOMENT, "ambiguous"), ("soon", MOMENT, "unsupported"),
    ("maybe", BOOL, "unknown_value"), ("open", BOOL, "unknown_value"), ("attic", ROOM, "unknown_value"), ("the kitchen light", ROOM, "unknown_value"), ("chicken", ROOM, "unknown_value"),
    ("hell", ROOM, "unknown_value"), ("living", ROOM, "unknown_value"), ("lamp", TWIN, "ambiguous"), ("four", LEVEL, "unknown_value"), ("two and a half", LEVEL, "unknown_value"),
    ("lift", {"enum": ["left", "right"]}, "unknown_value"), ("bin", IDENT, "unsupported"), ("a fourteen", ORDER, "unsupported"), ("main a fourteen", IDENT, "unsupported"),
    ("a one four", {**BIN, "pattern": "["}, "unsupported"), ("the attic and the hall", ROOMS, "unknown_value"), ("x", {"type": "object"}, "unsupported"), ("x", {"type": "dict"}, "unsupported"),
    ("x", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "unsupported"), ("x", {"$ref": "#/nowhere"}, "unsupported"),
    ("hello there", {"type": "string", "maxLength": 5}, "out_of_range"), ("not an address", {"type": "string", "format": "email"}, "unsupported"),
    ("one two", {"type": "array", "items": {"type": "integer"}, "minItems": 3}, "out_of_range"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "schema", "value"), READ)
def test_says(text: str, schema: Mapping[str, Any], value: Any) -> None:
    found = parse_value(text, schema, CONTEXT)
    if value is None:
        assert isinstance(found, Problem)
        return
    assert isinstance(found, Parsed), found
    assert found.value == value
    assert type(found.value) is type(value) or not isinstance(value, (bool, int, str, list))
    assert found.evidence == " ".join(text.split())


@pytest.mark.parametrize(("text", "schema", "kind"), REFUSED)
def test_refuses(text: str, schema: Mapping[str, Any], kind: str) -> None:
    found = parse_value(text, schema, CONTEXT)
    assert isinstance(found, Problem), found
    assert found.kind == kind


def test_there_are_many_rows() -> None:
    assert len(READ) + len(REFUSED) >= 250


def test_an_ambiguous_time_offers_both_readings() -> None:
    assert parse_value("at seven", TIME, CONTEXT) == Problem("ambiguous", "at seven", ("07:00", "19:00"))


def test_a_number_out_of_range_says_the_bounds() -> None:
    assert parse_value("ninety", CELSIUS, CONTEXT) == Problem("out_of_range", "ninety", ("5", "30"))


def test_an_unknown_name_offers_the_known_ones() -> None:
    found = parse_value("attic", ROOM, CONTEXT)
    assert isinstance(found, Problem)
    assert found.options == ("living room", "kitchen", "hall", "study")


def test_next_weekday_of_the_same_week_is_ambiguous() -> None:
    monday = RouteContext(now=datetime(2026, 11, 16, 10, 0))
    found = parse_value("next thursday", DATE, monday)
    assert found == Problem("ambiguous", "next thursday", ("2026-11-19", "2026-11-26"))


@given(st.integers(min_value=0, max_value=999_999))
def test_every_cardinal_is_read(number: int) -> None:
    assert parse_value(_spell(number), INTEGER, CONTEXT) == Parsed(number, _spell(number))


@given(
    st.text(max_size=60),
    st.sampled_from([NUMBER, PERCENT, TIME, DURATION, DATE, MOMENT, BOOL, ROOM, BIN, LIST, NUMBERS, OPEN]),
)
def test_no_words_raise(text: str, schema: Mapping[str, Any]) -> None:
    assert isinstance(parse_value(text, schema, CONTEXT), (Parsed, Problem))


@given(st.integers(), st.integers(-50, 50), st.integers(0, 50))
def test_nothing_is_clamped(number: int, low: int, span: int) -> None:
    found = parse_value(str(number), {"type": "integer", "minimum": low, "maximum": low + span}, CONTEXT)
    if isinstance(found, Parsed):
        assert found.value == number
        assert low <= number <= low + span
    else:
        assert not low <= number <= low + span


def _spell(number: int) -> str:
    """British number words, written here from the grammar so that the reader is not tested against itself."""
    ones = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    ones += ["thirteen", "fourteen", "fifteen", "sixteen"]
    ones += ["seventeen", "eighteen", "nineteen"]
    tens = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if number < 20:
        return ones[number]
    if number < 100:
        return tens[number // 10] + (f" {ones[number % 10]}" if number % 10 else "")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            joint = " and " if 0 < rest < 100 else " "
            return f"{_spell(number // size)} {name}" + (joint + _spell(rest) if rest else "")
    raise AssertionError(number)


def test_a_raised_figure_is_no_figure() -> None:
    assert isinstance(parse_value("1 ³", {"type": "integer"}, CONTEXT), Problem)

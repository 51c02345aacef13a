"""Generated values: the words say the value. Read back with parsers that know nothing of the generator."""

from __future__ import annotations

import random
import re
from datetime import date

import pytest
from text_to_num import text2num

from voice_needle.training.align import cardinal
from voice_needle.training.spoken_values import GENERATORS, NOW, calendar_date, clock_time, decimal, duration, ordinal

SEEDS = range(400)
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@pytest.mark.parametrize("number", [0, 7, 13, 20, 42, 99, 100, 101, 219, 999, 1000, 1205, 45_018, 720_000, 1_000_001])
def test_number_words_read_back(number: int) -> None:
    assert text2num(cardinal(number, british=False), "en") == number
    assert text2num(cardinal(number).replace(" and ", " "), "en") == number


def test_ordinals_and_decimals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 5, 12, 20, 21, 30, 31)] == [
        "first", "second", "third", "fourth", "fifth", "twelfth", "twentieth", "twenty first", "thirtieth", "thirty first",
    ]  # fmt: skip
    assert decimal(22.5) == "twenty two point five" and decimal(-3) == "minus three"


def seconds_of(iso: str) -> int:
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", iso)
    assert found, iso
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


def test_durations_in_figures_say_their_length() -> None:
    for seed in SEEDS:
        spoken = duration(random.Random(seed), {}, True)
        told = sum(
            int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+) (second|minute|hour|day)", spoken.words)
        )
        assert told == seconds_of(spoken.value), spoken


def test_durations_keep_to_their_limits() -> None:
    for seed in SEEDS:
        spoken = duration(random.Random(seed), {"min": 10, "max": 180, "unit": "minutes"})
        assert 600 <= seconds_of(spoken.value) <= 10_800, spoken


def test_clear_times_have_one_meaning() -> None:
    for seed in SEEDS:
        spoken = clock_time(random.Random(seed), {}, True, clear=True)
        assert re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", spoken.value), spoken
        figures = re.match(r"(\d+)(?::(\d\d))?", spoken.words)
        if figures:
            hour, minute = int(figures.group(1)), int(figures.group(2) or 0)
            assert (hour % 12, minute) == (int(spoken.value[:2]) % 12, int(spoken.value[3:])), spoken
            if "pm" in spoken.words.lower():
                assert int(spoken.value[:2]) >= 12, spoken


def test_an_unclear_time_is_not_given_a_meaning() -> None:
    unclear = [
        spoken for seed in SEEDS if not re.match(r"\d\d:", (spoken := clock_time(random.Random(seed), {})).value)
    ]
    assert unclear and all(spoken.value == spoken.words for spoken in unclear)


def test_dates_are_not_in_the_past() -> None:
    for seed in SEEDS:
        spoken = calendar_date(random.Random(seed), {}, clear=True)
        day = date.fromisoformat(spoken.value)
        assert day >= NOW.date(), spoken
        for number, name in enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]):
            if name in spoken.words:
                assert day.weekday() == number, spoken


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_every_generator_is_deterministic(kind: str) -> None:
    made = [[GENERATORS[kind](random.Random(seed), {}, seed % 2 == 0) for seed in range(60)] for _ in range(2)]
    assert made[0] == made[1]
    assert all(spoken.words.strip() for spoken in made[0])

"""Makes values by type and the ways they are said: numbers, percentages, durations, clock times, dates, identifiers.

A value's words are split in two: those that make the value, and the unit's own word where the parameter already has that
unit ("twenty" of "twenty percent"). A unit that is not the parameter's belongs to the words ("half an hour" for minutes).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from voice_needle.training.align import cardinal

NOW = datetime(2026, 11, 21, 10, 0)  # a Saturday: the moment that relative dates and times of examples refer to

_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth", 20: "twentieth",
             30: "thirtieth"}  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december"]  # fmt: skip
_NATO = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima", "mike",
         "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "x-ray", "yankee",
         "zulu"]  # fmt: skip


@dataclass(frozen=True)
class Spoken:
    """A value and its words. after: said with it, but not part of it (the unit). name: a leading article is no part of it."""

    value: Any
    words: str
    after: str = ""
    name: bool = False


def ordinal(number: int) -> str:
    """21 -> "twenty first"."""
    if number in _ORDINALS:
        return _ORDINALS[number]
    if number > 20 and number % 10:
        return cardinal(number - number % 10) + " " + ordinal(number % 10)
    return cardinal(number) + "th"


def decimal(value: float) -> str:
    """22.5 -> "twenty two point five"."""
    if value < 0:
        return "minus " + decimal(-value)
    if value == int(value):
        return cardinal(int(value))
    whole, _, part = f"{value:g}".partition(".")
    return cardinal(int(whole)) + " point " + " ".join(cardinal(int(digit)) for digit in part)


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 3)


def _draw(rng: random.Random, spec: Mapping[str, Any], low: float, high: float, step: float) -> float | int:
    low, high, step = float(spec.get("min", low)), float(spec.get("max", high)), float(spec.get("step", step))
    high = max(high, low)
    count = int((high - low) / step)
    if count > 40 and rng.random() < 0.5:  # people like round numbers
        step *= 10 if count > 400 else 5
        count = int((high - low) / step)
    return _plain(low + step * rng.randint(0, max(count, 0)))


def _number_words(rng: random.Random, value: float, digits: bool) -> str:
    if digits:
        return f"{value:,}" if value >= 10_000 and rng.random() < 0.4 else f"{value}"
    if value != int(value) and value * 2 == int(value * 2) and 1 <= value < 100 and rng.random() < 0.4:
        return cardinal(int(value)) + " and a half"
    if 1100 <= value < 2000 and value % 100 == 0 and rng.random() < 0.4:
        return cardinal(int(value) // 100) + " hundred"
    if value == int(value):
        return cardinal(int(value), british=rng.random() < 0.6)
    return decimal(value)


def _unit_word(unit: str, value: float) -> str:
    unit = str(unit).replace("_", " ")
    if value == 1 and unit.endswith("s") and not unit.endswith("ss"):
        return {"feet": "foot", "boxes": "box", "inches": "inch", "dishes": "dish"}.get(unit, unit[:-1])
    return unit


def number(rng: random.Random, spec: Mapping[str, Any], digits: bool = False, *, whole: bool = False) -> Spoken:
    value = _draw(rng, spec, 1, 20, 1 if whole else 0.5)
    if whole:
        value = int(value)
    words = _number_words(rng, value, digits)
    unit = spec.get("unit") or ""
    if unit in ("degrees", "percent", "celsius") or rng.random() < 0.85:
        return Spoken(value, words, _unit_word(unit, value) if unit and rng.random() < 0.85 else "")
    return Spoken(value, words, _unit_word(unit, value) if unit else "")


def percent(rng: random.Random, spec: Mapping[str, Any], digits: bool = False) -> Spoken:
    value = _draw(rng, spec, 0, 100, 5 if rng.random() < 0.7 else 1)
    if not digits and rng.random() < 0.15:
        parts = {50: ["half"], 25: ["a quarter"], 75: ["three quarters"]}
        if value in parts:
            return Spoken(value, rng.choice(parts[int(value)]))
    words = _number_words(rng, value, digits)
    if digits and rng.random() < 0.6:
        return Spoken(value, words, "%")
    return Spoken(value, words, "percent" if rng.random() < 0.75 else "")


def temperature(rng: random.Random, spec: Mapping[str, Any], digits: bool = False) -> Spoken:
    value = _draw(rng, spec, 5, 30, 0.5 if rng.random() < 0.3 else 1)
    unit = str(spec.get("unit") or "degrees")
    scale = f" {unit}" if unit in ("celsius", "fahrenheit") else ""
    words = _number_words(rng, value, digits)
    after = rng.choice(["degrees", "degrees", "degrees" + scale, ""])
    return Spoken(value, words, after)


def _iso(seconds: int) -> str:
    """5400 -> "PT1H30M"; whole days as "P2D"."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    clock = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (left, "S")) if count)
    return "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "" if days else "T0S")


def duration(rng: random.Random, spec: Mapping[str, Any], digits: bool = False) -> Spoken:
    """An ISO 8601 duration, between min and max (in unit) where these are given."""
    unit = str(spec.get("unit") or "").rstrip("s")
    scale = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}.get(unit, 1)
    low, high = (spec[key] * scale if key in spec else None for key in ("min", "max"))
    for _ in range(40):
        spoken, seconds = _duration(rng, unit, digits)
        if (low is None or seconds >= low) and (high is None or seconds <= high):
            return spoken
    return spoken


def _duration(rng: random.Random, unit: str, digits: bool) -> tuple[Spoken, int]:
    def say(count: int, unit: str) -> str:
        return f"{count if digits else cardinal(count)} {unit}{'' if count == 1 else 's'}"

    def made(seconds: int, words: str) -> tuple[Spoken, int]:
        return Spoken(_iso(seconds), words), seconds

    roll = rng.random()
    if unit == "day" or (not unit and roll < 0.05):
        days = rng.choice([1, 2, 3, 4, 5, 7, 10, 14])
        return made(days * 86400, say(days, "day"))
    if (unit == "second" and roll < 0.5) or roll < 0.2:
        count = rng.choice([5, 10, 15, 20, 30, 40, 45, 90, rng.randint(2, 59)])
        return made(count, say(count, "second"))
    if roll < 0.32 and not digits:
        fixed = [("half an hour", 1800), ("a quarter of an hour", 900), ("three quarters of an hour", 2700), ("an hour", 3600),
                 ("an hour and a half", 5400), ("a minute", 60), ("half a minute", 30), ("a minute and a half", 90),
                 ("one and a half hours", 5400), ("two and a half hours", 9000), ("an hour and a quarter", 4500),
                 ("two and a half minutes", 150)]  # fmt: skip
        words, seconds = rng.choice(fixed)
        return made(seconds, words)
    if roll < 0.45:
        hours, minutes = rng.randint(1, 4), rng.choice([5, 10, 15, 20, 25, 40, 45, rng.randint(1, 59)])
        joint = " and " if rng.random() < 0.5 else " "
        return made(hours * 3600 + minutes * 60, say(hours, "hour") + joint + say(minutes, "minute"))
    if roll < 0.55:
        minutes, seconds = rng.randint(1, 12), rng.choice([10, 15, 20, 30, 45])
        joint = " and " if rng.random() < 0.7 else " "
        return made(minutes * 60 + seconds, say(minutes, "minute") + joint + say(seconds, "second"))
    if roll < 0.68:
        hours = rng.randint(1, 12)
        return made(hours * 3600, say(hours, "hour"))
    count = rng.choice([1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 45, rng.randint(2, 90)])
    return made(count * 60, say(count, "minute"))


def _clock(rng: random.Random, hour: int, minute: int, digits: bool) -> str:
    """A reading of the twelve-hour face."""
    face = (hour - 1) % 12 + 1
    if digits:
        return f"{face}:{minute:02d}" if minute or rng.random() < 0.3 else f"{face}"
    if minute == 0:
        return cardinal(face) + (" o'clock" if rng.random() < 0.25 else "")
    following = face % 12 + 1
    options = [f"{cardinal(face)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"] * 2
    if minute in (15, 45):
        side = f"past {cardinal(face)}" if minute == 15 else f"to {cardinal(following)}"
        options += [f"{rng.choice(['a ', ''])}quarter {side}"] * 2
    if minute == 30:
        options += [f"half past {cardinal(face)}"] * 2
    if minute in (5, 10, 20, 25):
        options.append(f"{cardinal(minute)} past {cardinal(face)}")
    if minute in (35, 40, 50, 55):
        options.append(f"{cardinal(60 - minute)} to {cardinal(following)}")
    return rng.choice(options)


def _part_of_day(rng: random.Random, hour: int, digits: bool) -> str:
    meridiem = "am" if hour < 12 else "pm"
    if rng.random() < 0.6:
        return meridiem if not digits or rng.random() < 0.5 else meridiem.upper()
    if hour < 3 or hour > 20:
        return "at night"
    return "in the morning" if hour < 12 else "in the afternoon" if hour < 17 else "in the evening"


def clock_time(rng: random.Random, spec: Mapping[str, Any], digits: bool = False, *, clear: bool = False) -> Spoken:
    """clear: only readings with one meaning. An unclear one ("at seven") has its own words for a value."""
    if rng.random() < 0.05:
        hour = rng.choice([0, 12])
        return Spoken(f"{hour:02d}:00", "midnight" if hour == 0 else rng.choice(["noon", "midday"]))
    hour = rng.choice([6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, rng.randint(0, 23)])
    minute = rng.choice([0, 0, 0, 30, 30, 15, 45, 5 * rng.randint(0, 11), rng.randint(0, 59)])
    value = f"{hour:02d}:{minute:02d}"
    if hour > 12 and rng.random() < 0.12:
        rest = "hundred" if not minute else cardinal(minute) if minute > 9 else "oh " + cardinal(minute)
        return Spoken(value, value if digits else f"{cardinal(hour)} {rest}")
    words = _clock(rng, hour, minute, digits)
    if clear or rng.random() < 0.6:
        joint = "" if digits and words[-1].isdigit() and rng.random() < 0.4 else " "
        part = _part_of_day(rng, hour, digits)
        return Spoken(value, words + (joint if part.lower() in ("am", "pm") else " ") + part)
    return Spoken(words, words)


def calendar_date(rng: random.Random, spec: Mapping[str, Any], digits: bool = False, *, clear: bool = False) -> Spoken:
    today = NOW.date()
    roll = rng.random()
    if roll < 0.3:
        words, days = rng.choice([("tomorrow", 1), ("tomorrow", 1), ("today", 0), ("the day after tomorrow", 2)])
        return Spoken((today + timedelta(days=days)).isoformat(), words)
    if roll < 0.55:
        day = rng.randrange(7)
        ahead = (day - today.weekday() - 1) % 7 + 1
        lead = "" if clear else rng.choice(["", "", "next ", "this ", "next "])
        return Spoken((today + timedelta(days=ahead)).isoformat(), lead + _DAYS[day])
    if roll < 0.62:
        count = rng.randint(2, 10)
        return Spoken((today + timedelta(days=count)).isoformat(), f"in {count if digits else cardinal(count)} days")
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    year = today.year + (1 if (month, day) < (today.month, today.day) else 0)
    name = _MONTHS[month - 1]
    if digits:
        suffix = "th" if 4 <= day % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        words = rng.choice([f"{name} {day}", f"{day} {name}", f"the {day}{suffix} of {name}", f"{name} {day}{suffix}",
                            date(year, month, day).isoformat()])  # fmt: skip
    else:
        words = rng.choice([f"the {ordinal(day)} of {name}", f"{name} {ordinal(day)}", f"{name} the {ordinal(day)}",
                            f"{ordinal(day)} of {name}", f"{ordinal(day)} {name}"])  # fmt: skip
    return Spoken(date(year, month, day).isoformat(), words)


def date_time(rng: random.Random, spec: Mapping[str, Any], digits: bool = False, *, clear: bool = False) -> Spoken:
    when = calendar_date(rng, spec, digits, clear=clear)
    at = clock_time(rng, spec, digits, clear=clear)
    exact = len(str(at.value)) == 5 and str(at.value)[2] == ":"
    words = rng.choice([f"{when.words} at {at.words}", f"{when.words} at {at.words}", f"{at.words} {when.words}"])
    return Spoken(f"{when.value}T{at.value}" if exact else words, words)


def identifier(rng: random.Random, spec: Mapping[str, Any], digits: bool = False) -> Spoken:
    """A code of letters and digits, spelled: "a fourteen" -> "A14"."""
    letters = [rng.randrange(26) for _ in range(rng.choice([0, 1, 1, 1, 2]))]
    count = rng.choice([1, 2, 2, 3]) if letters else rng.choice([3, 4, 4, 5])
    figures = str(rng.randint(10 ** (count - 1), 10**count - 1))
    value = "".join(chr(65 + letter) for letter in letters) + figures
    if digits:
        return Spoken(value, rng.choice([value, value.lower()]))
    spoken = [_NATO[letter] if rng.random() < 0.15 else chr(97 + letter) for letter in letters]
    if len(figures) <= 2 and rng.random() < 0.7:
        said = cardinal(int(figures))
    elif len(figures) in (3, 4) and rng.random() < 0.3 and figures[-2] != "0":
        said = cardinal(int(figures[:-2])) + " " + cardinal(int(figures[-2:]))
    else:
        said = " ".join("oh" if figure == "0" and rng.random() < 0.4 else cardinal(int(figure)) for figure in figures)
    return Spoken(value, " ".join([*spoken, said]))


def integer(rng: random.Random, spec: Mapping[str, Any], digits: bool = False) -> Spoken:
    return number(rng, spec, digits, whole=True)


def joined(rng: random.Random, items: Sequence[str], digits: bool = False) -> str:
    """A list as it is said: "milk eggs and bread"; in writing with commas."""
    if len(items) == 1:
        return items[0]
    comma = ", " if digits else rng.choice([" ", " ", " and "])
    return comma.join(items[:-1]) + " and " + items[-1]


GENERATORS: Mapping[str, Callable[..., Spoken]] = {
    "integer": integer, "number": number, "percent": percent, "temperature": temperature, "duration": duration,
    "time": clock_time, "date": calendar_date, "datetime": date_time, "identifier": identifier,
}  # fmt: skip

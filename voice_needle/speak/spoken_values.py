"""A value as a voice should say it: numbers with their units, durations, times and dates, names, lists.

Digits stay digits where every voice reads them right ("22.5 degrees"); what voices read wrong becomes words (PT1H30M: "an
hour and a half", 07:00: "7 in the morning", A14: "A 14").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from voice_needle.tools import spoken_forms

UNITS: Mapping[str, tuple[str, str]] = {
    "percent": ("percent", "percent"),
    "celsius": ("degree", "degrees"),
    "fahrenheit": ("degree", "degrees"),
    "degree": ("degree", "degrees"),
    "hertz": ("hertz", "hertz"),
    "kmh": ("kilometre per hour", "kilometres per hour"),
    "km/h": ("kilometre per hour", "kilometres per hour"),
    "foot": ("foot", "feet"),
    "inch": ("inch", "inches"),
}
"""Unit -> singular and plural, where the plural is not the unit with an s."""

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd", 31: "31st"}
_DAYPARTS = (
    (5, "at night"),
    (12, "in the morning"),
    (18, "in the afternoon"),
    (22, "in the evening"),
    (24, "at night"),
)


def spoken(value: Any, schema: Mapping[str, Any] | None = None, *, today: date | None = None, unit: bool = True) -> str:
    """`value` in spoken English. schema: of its parameter, if it has one. unit: False where the phrase names it already.

    Lists are joined with "and"; None is nothing.
    """
    schema = schema or {}
    if "enum" in schema:
        forms = spoken_forms(schema).get(str(value))
        if forms:
            return forms[0]
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return quantity(value, str(schema.get("x-unit", ""))) if unit else number(value)
        case datetime():
            return moment(value, today)
        case date():
            return day(value, today)
        case time():
            return clock_time(value)
        case timedelta():
            return duration(value.total_seconds())
        case str():
            return _text(value, schema, today)
        case Mapping():
            return joined([f"{key}: {spoken(item, today=today)}" for key, item in value.items()])
        case Sequence():
            items = schema.get("items")
            return joined([spoken(item, items if isinstance(items, Mapping) else None, today=today) for item in value])
    return str(value)


def _text(value: str, schema: Mapping[str, Any], today: date | None) -> str:
    kind = schema.get("format")
    try:
        if value not in ("P", "PT") and (kind == "duration" or kind is None) and (found := _DURATION.fullmatch(value)):
            weeks, days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
            return duration((((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds)
        if kind in ("time", None) and _TIME.fullmatch(value):
            return clock_time(time.fromisoformat(value))
        if kind in ("date", None) and _DATE.fullmatch(value):
            return day(date.fromisoformat(value), today)
        if kind in ("date-time", None) and _DATE_TIME.fullmatch(value):
            return moment(datetime.fromisoformat(value), today)
    except ValueError:  # looks like one and is none (2026-02-31): said as it is
        return value
    if kind == "identifier":
        return identifier(value)
    return value.replace("_", " ")


def number(value: float) -> str:
    """At most two decimals, no trailing zeros, a word for the minus."""
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return "0" if text in ("-0", "") else text.replace("-", "minus ")


def quantity(value: float, unit: str) -> str:
    """A number with its unit: 1 degree, 22.5 degrees, 3 pieces."""
    text = number(value)
    if not unit:
        return text
    singular, plural = UNITS.get(unit.lower(), (unit.lower().replace("_", " "), ""))
    return f"{text} {singular if text in ('1', 'minus 1') else plural or singular + 's'}"


def unit_words(unit: str) -> set[str]:
    """How a phrase may name this unit itself, so that it is not said twice."""
    singular, plural = UNITS.get(unit.lower(), (unit.lower(), unit.lower() + "s"))
    extra = {"percent": {"%"}, "celsius": {"°", "°c", "celsius"}, "fahrenheit": {"°", "°f", "fahrenheit"}}
    return {singular, plural} | extra.get(unit.lower(), set())


def duration(seconds: float) -> str:
    """5400 -> "an hour and a half"; 3661 -> "1 hour, 1 minute and 1 second"."""
    whole = round(seconds)
    fixed = {
        1800: "half an hour",
        3600: "an hour",
        5400: "an hour and a half",
        60: "a minute",
        90: "a minute and a half",
    }
    if whole in fixed and abs(seconds - whole) < 0.01:
        return fixed[whole]
    if seconds < 10 and seconds != whole:
        return quantity(round(seconds, 1), "second")
    parts = []
    for unit, size in (("week", 604_800), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(quantity(count, unit))
    if len(parts) == 2 and parts[1] == "30 minutes" and parts[0].endswith("hours"):
        return f"{parts[0].removesuffix(' hours')} and a half hours"
    return joined(parts) or "0 seconds"


def clock_time(at: time) -> str:
    """07:00 -> "7 in the morning", 12:00 -> "noon", 18:45 -> "6:45 in the evening"."""
    if (at.hour, at.minute) in ((0, 0), (12, 0)):
        return "noon" if at.hour else "midnight"
    hour = at.hour % 12 or 12
    part = next(words for until, words in _DAYPARTS if at.hour < until)
    minutes = "" if not at.minute else f" oh {at.minute}" if at.minute < 10 else f":{at.minute:02d}"
    return f"{hour}{minutes} {part}"


def day(on: date, today: date | None = None) -> str:
    """Today, tomorrow, yesterday, "Friday" within a week, else "Saturday the 21st of November", with the year if another."""
    if today is not None:
        ahead = (on - today).days
        near = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(ahead)
        if near:
            return near
        if 1 < ahead < 7:
            return f"{on:%A}"
    year = f" {on.year}" if today is not None and on.year != today.year else ""
    return f"{on:%A} the {_ORDINALS.get(on.day, f'{on.day}th')} of {on:%B}{year}"


def moment(at: datetime, today: date | None = None) -> str:
    """The day, if it is not today, and the time."""
    if today is not None and at.date() == today:
        return clock_time(at.time())
    return f"{day(at.date(), today)} at {clock_time(at.time())}"


def identifier(value: str) -> str:
    """Letters one by one, numbers as numbers: AB14 -> "A B 14"; words stay words."""
    pieces = re.findall(r"[A-Za-z]+|\d+", value)
    return " ".join(" ".join(piece.upper()) if piece.isalpha() and len(piece) <= 3 else piece for piece in pieces)


def joined(parts: Sequence[str], last: str = "and") -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    parts = [part for part in parts if part]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""

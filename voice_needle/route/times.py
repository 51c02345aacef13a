"""Clock times, durations and moments as people say them, read against a given now; several readings are reported, not chosen.

Our own, because dateparser 1.5 (measured) reads none of "quarter to eight", "half past six" and "seven thirty pm", and chooses
silently where speech is ambiguous. Written forms: ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta

from voice_needle.route.dates import Reading, read_date
from voice_needle.route.numbers import Number, read_number, whole_number
from voice_needle.route.units import Unit, read_unit

_PARTS = {
    ("in", "the", "morning"): "am", ("this", "morning"): "am", ("morning",): "am", ("am",): "am",
    ("in", "the", "afternoon"): "pm", ("this", "afternoon"): "pm", ("afternoon",): "pm", ("pm",): "pm",
    ("in", "the", "evening"): "pm", ("this", "evening"): "pm", ("evening",): "pm", ("tonight",): "night",
    ("at", "night"): "night", ("night",): "night",
}  # fmt: skip
_TODAY_PARTS = {("this", "morning"), ("this", "afternoon"), ("this", "evening"), ("tonight",)}
_LEADING = (
    "at",
    "by",
    "for",
    "on",
    "exactly",
    "until",
    "till",
    "from",
    "to",
    "around",
    "about",
    "the",
    "starting",
    "of",
)


# --- clock times -----------------------------------------------------------------------------------------------------


def read_time(words: Sequence[str], now: datetime, part: str = "") -> Reading:
    """HH:MM (or HH:MM:SS as written). part: what a bare hour means where the schema says so: am | pm | next."""
    said, rest, _ = _take_part(list(words))
    rest = _drop_leading(rest)
    clock = _clock(rest)
    if clock is None:
        return Reading()
    hour, minute, fixed = clock
    return Reading(tuple(f"{t.hour:02d}:{t.minute:02d}" for t in _resolve(hour, minute, fixed, said or part, now)))


def _take_part(words: list[str]) -> tuple[str, list[str], bool]:
    """The part of day said in `words`, the words without it, and whether it means today."""
    for length in (3, 2, 1):
        for at in range(len(words) - length + 1):
            phrase = tuple(words[at : at + length])
            if phrase in _PARTS:
                return _PARTS[phrase], words[:at] + words[at + length :], phrase in _TODAY_PARTS
    return "", words, False


def _drop_leading(words: list[str]) -> list[str]:
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    return words


def _clock(words: list[str]) -> tuple[int, int, bool] | None:
    """(hour, minute, whether the 24-hour reading is certain) of words without a part of day."""
    if words in (["noon"], ["midday"], ["twelve", "noon"], ["12", "noon"]):
        return 12, 0, True
    if words in (["midnight"], ["twelve", "midnight"], ["12", "midnight"]):
        return 0, 0, True
    if len(words) == 1:
        written = re.fullmatch(r"(\d{1,2})[:.](\d{2})(?::\d{2})?", words[0])
        if written:
            return _valid(int(written[1]), int(written[2]), written[1].startswith("0"))
        if re.fullmatch(r"[0-2]\d[0-5]\d", words[0]):
            return _valid(int(words[0][:2]), int(words[0][2:]), True)
    return _past_or_to(words) or _hour_minute(words)


def _past_or_to(words: list[str]) -> tuple[int, int, bool] | None:
    for at, word in enumerate(words):
        if word in ("past", "after", "to", "of", "before", "till") and at:
            minute = _offset(words[:at])
            hour = _clock(words[at + 1 :]) if words[at + 1 :] else None
            if minute is None or hour is None or hour[1]:
                return None
            if word in ("past", "after"):
                return hour[0], minute, hour[2]
            return (hour[0] - 1) % 24 if hour[0] not in (1, 13) or hour[2] else hour[0] + 11, 60 - minute, hour[2]
    if len(words) == 2 and words[0] == "half":  # "half six": half past, in Britain
        hour_only = _hour_minute(words[1:])
        return (hour_only[0], 30, hour_only[2]) if hour_only and not hour_only[1] else None
    return None


def _offset(words: list[str]) -> int | None:
    if words in (["half"], ["half", "an", "hour"]):
        return 30
    if words in (["quarter"], ["a", "quarter"]):
        return 15
    if words[-1] in ("minutes", "minute"):
        words = words[:-1]
    value = whole_number(words)
    return value if isinstance(value, int) and 0 < value < 60 else None


def _hour_minute(words: list[str]) -> tuple[int, int, bool] | None:
    if words and words[-1] in ("o'clock", "oclock"):
        words = words[:-1]
    if words and words[-1] in ("hours", "hundred") and len(words) > 1 and words[-1] == "hours":
        words = words[:-1]
        if words[-1] == "hundred":
            hour = whole_number([w for w in words[:-1] if w not in ("oh", "zero")])
            return _valid(hour, 0, True) if isinstance(hour, int) else None
    leading_zero = bool(words) and words[0] in ("oh", "zero") and len(words) > 1
    if leading_zero:
        words = words[1:]
    for cut in range(len(words), 0, -1):
        hour = whole_number(words[:cut])
        if not isinstance(hour, int) or not 0 <= hour <= 24 or words[0] in ("a", "minus", "dozen"):
            continue
        minute = _minute(words[cut:])
        if minute is not None:
            return _valid(hour, minute, leading_zero or words[0].startswith("0"))
    return None


def _minute(words: list[str]) -> int | None:
    if not words:
        return 0
    if words[0] in ("oh", "zero", "o") and len(words) == 2:
        value = whole_number(words[1:])
        return value if isinstance(value, int) and 0 <= value < 10 else None
    value = whole_number(words)
    return value if isinstance(value, int) and 10 <= value < 60 and words[0] not in ("a", "dozen") else None


def _valid(hour: int, minute: int, fixed: bool) -> tuple[int, int, bool] | None:
    if hour == 24 and minute == 0:
        return 0, 0, True
    return (hour, minute, fixed or hour == 0 or hour > 12) if hour < 24 and minute < 60 else None


def _resolve(hour: int, minute: int, fixed: bool, part: str, now: datetime) -> list[time]:
    """The clock times that an hour of 1 to 12 may mean, given the part of day."""
    if fixed:
        contradiction = (part == "am" and hour >= 12) or (part == "pm" and hour < 12)
        return [] if contradiction else [time(hour, minute)]
    morning, evening = time(hour % 12, minute), time(hour % 12 + 12, minute)
    if part == "am":
        return [morning]
    if part == "pm":
        return [evening]
    if part == "night":  # eight at night, two at night
        return [morning if hour < 5 or hour == 12 else evening]
    if part == "next":
        later = [t for t in (morning, evening) if t > now.time()]
        return [later[0] if later else morning]
    return [morning, evening]


# --- durations -------------------------------------------------------------------------------------------------------


def read_seconds(words: Sequence[str]) -> Number | None:
    """Seconds of "an hour and a half", "two hours thirty minutes", "ninety seconds", "1 h 30"; None when it is no duration."""
    words = [w for w in words if w not in ("about", "around", "exactly")]
    if words and words[0] in ("for", "in", "after", "within"):
        words = words[1:]
    total: Number = 0
    at, smallest = 0, float("inf")
    while at < len(words):
        if words[at] == "and" and at:
            at += 1
        found = _span(words, at)
        if found is None:
            if total and smallest == 3600 and (rest := _bare_minutes(words[at:])):  # "an hour and twenty"
                return total + rest
            return None
        amount, unit, at = found
        if unit.factor >= smallest:
            return None
        smallest = unit.factor
        total += amount * unit.factor
        half = _half_of(words, at, unit)
        if half:
            total, at = total + half[0], half[1]
    return _whole(total) if total else None


def _bare_minutes(words: Sequence[str]) -> int:
    value = whole_number(words)
    return value * 60 if isinstance(value, int) and 0 < value < 60 else 0


def _span(words: Sequence[str], at: int) -> tuple[Number, Unit, int] | None:
    """One "number unit": "twenty minutes", "half an hour", "three quarters of an hour", "a minute"."""
    amount: Number
    found = read_number(words, at)
    if found:
        amount, at = found
        if amount < 1 and at < len(words) and words[at] == "of":
            at += 1
        if amount < 1 and at < len(words) and words[at] in ("a", "an"):
            at += 1
    elif at < len(words) and words[at] in ("a", "an"):
        amount, at = 1, at + 1
    else:
        return None
    unit = read_unit(words, at)
    if unit is None and at < len(words) and words[at] in ("m", "s"):
        unit = read_unit(["minute" if words[at] == "m" else "second"], 0)
        return (amount, unit[0], at + 1) if unit else None
    if unit is None or (unit[0].dimension != "time" and words[at] != "m"):
        return None
    if unit[0].dimension != "time":
        minute = read_unit(["minute"], 0)
        assert minute is not None
        return amount, minute[0], unit[1]
    return amount, unit[0], unit[1]


def _half_of(words: Sequence[str], at: int, unit: Unit) -> tuple[Number, int] | None:
    """ "and a half", "and a quarter" after a unit."""
    if at + 1 < len(words) and words[at] == "and":
        part = read_number(words, at + 1)
        if part and 0 < part[0] < 1 and (part[1] == len(words) or read_unit(words, part[1]) is None):
            if part[1] < len(words) and words[part[1]] in ("a", "an", "of"):
                return None
            return part[0] * unit.factor, part[1]
    return None


def _whole(value: float) -> Number:
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def iso_duration(seconds: Number) -> str:
    """ISO 8601: 5400 -> PT1H30M, 86400 -> P1D."""
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    clock = "".join(f"{_whole(n)}{letter}" for n, letter in ((hours, "H"), (minutes, "M"), (left, "S")) if n)
    return "P" + (f"{_whole(days)}D" if days else "") + (f"T{clock}" if clock else "" if days else "T0S")


def read_datetime(words: Sequence[str], now: datetime, part: str = "") -> Reading:
    """YYYY-MM-DDTHH:MM in the device's own zone, of a day and a time, a time alone (its next occurrence), or "in two hours"."""
    local = now.replace(tzinfo=None)
    if len(words) == 1 and "t" in words[0] and words[0][0].isdecimal():
        try:
            return Reading((_stamp(datetime.fromisoformat(words[0].upper())),))
        except ValueError:
            return Reading()
    offset = _offset_from_now(list(words))
    if offset is not None:
        return Reading((_stamp(local + timedelta(seconds=offset), seconds=offset % 60 != 0),))
    said, rest, today = _take_part(list(words))
    days: Sequence[str] = read_date(rest, now).texts if rest else ()
    if (days and not today) or (today and not _drop_leading(rest)):
        return Reading(missing="time")
    found: list[str] = []
    for cut in range(1, len(rest)):
        for day_words, clock_words in ((rest[:cut], rest[cut:]), (rest[cut:], rest[:cut])):
            clock = _clock(_drop_leading(list(clock_words)))
            days = read_date(day_words, now).texts
            if clock and days:
                times = _resolve(*clock, said or part, now)
                found += [f"{day}T{t.hour:02d}:{t.minute:02d}" for day in days for t in times]
    if found:
        later = [
            text for text in found if text > _stamp(local)
        ]  # "today at eight", said at ten, is eight in the evening
        return Reading(tuple(dict.fromkeys(later or found)))
    clock = _clock(_drop_leading(rest)) if rest else None
    if clock is None:
        return Reading()
    return Reading(tuple(_next(t, local, today) for t in _resolve(*clock, said or part, now)))


def _offset_from_now(words: list[str]) -> Number | None:
    if words[:1] == ["in"]:
        return read_seconds(words[1:])
    if words[-2:] == ["from", "now"]:
        return read_seconds(words[:-2])
    return None


def _next(clock: time, local: datetime, today: bool) -> str:
    due = datetime.combine(local.date(), clock)
    return _stamp(due if today or due > local else due + timedelta(days=1))


def _stamp(moment: datetime, seconds: bool = False) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S" if seconds else "%Y-%m-%dT%H:%M")

"""Calendar days as people say them, read against a given now; several readings are reported, not chosen.

Our own, because dateparser 1.5 (measured) does not read "the third of may", reads "the 5th" on 21 November as 21 May, chooses
silently where speech is ambiguous, and takes up to half a millisecond a phrase. Written form: ISO 8601.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from voice_needle.route.numbers import read_ordinal, spoken_year, whole_number

_WEEKDAYS = {name.lower(): i for i, name in enumerate(calendar.day_name)} | {
    name.lower(): i for i, name in enumerate(calendar.day_abbr)
}
_WEEKDAYS |= {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
_MONTHS = {name.lower(): i for i, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.lower(): i for i, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
_HOLIDAYS = {
    ("christmas",): (12, 25), ("christmas", "day"): (12, 25), ("christmas", "eve"): (12, 24), ("boxing", "day"): (12, 26),
    ("new", "year's", "eve"): (12, 31), ("new", "year", "'s", "eve"): (12, 31), ("new", "years", "eve"): (12, 31),
    ("new", "year", "'s", "day"): (1, 1), ("new", "years", "day"): (1, 1), ("new", "year"): (1, 1),
    ("halloween",): (10, 31), ("valentine", "'s", "day"): (2, 14), ("valentines", "day"): (2, 14),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What a phrase may mean: one candidate is a reading, several are an ambiguity, none is no reading of this kind.

    texts: ISO forms. missing: what was not said ("time", "unit"), when that is why there is none.
    """

    texts: tuple[str, ...] = ()
    missing: str = ""


def read_date(words: Sequence[str], now: datetime) -> Reading:
    """YYYY-MM-DD. A date without a year is the next one at or after today; "next tuesday" in the same week is ambiguous."""
    rest = [w for w in words if w not in ("on", "the", "of", "by", "for", "from", "until", "till", "'s")]
    if not rest:
        return Reading()
    found = _relative(rest, now.date()) or _weekday(rest, now.date()) or _calendar_day(rest, list(words), now.date())
    if found is None and tuple(words) in _HOLIDAYS:
        found = [_coming(*_HOLIDAYS[tuple(words)], now.date())]
    return Reading(tuple(day.isoformat() for day in found or ()))


def _relative(words: list[str], today: date) -> list[date] | None:
    simple = {
        "today": 0,
        "tonight": 0,
        "tomorrow": 1,
        "yesterday": -1,
        "day after tomorrow": 2,
        "day before yesterday": -2,
    }
    text = " ".join(words)
    if text in simple:
        return [today + timedelta(days=simple[text])]
    if words[0] == "in" or words[-2:] == ["from", "now"] or words[-1] == "now" or words[-1] == "ago":
        sign = -1 if words[-1] == "ago" else 1
        body = [w for w in words if w not in ("in", "now", "ago")]
        if len(body) < 2:
            return None
        amount = 1 if body[0] in ("a", "an") and len(body) == 2 else whole_number(body[:-1])
        return _shift(today, sign * amount, body[-1].rstrip("s")) if isinstance(amount, int) else None
    if len(words) == 4 and words[:2] in (["a", "week"], ["week", "from"]):
        base = _weekday(words[-1:], today) or _relative(words[-1:], today)
        return [day + timedelta(days=7) for day in base] if base else None
    if len(words) == 3 and words[:2] == ["a", "week"]:  # "a week from tuesday", with "from" dropped
        base = _weekday(words[2:], today) or _relative(words[2:], today)
        return [day + timedelta(days=7) for day in base] if base else None
    return None


def _shift(today: date, amount: int, unit: str) -> list[date] | None:
    if unit in ("day", "week"):
        return [today + timedelta(days=amount * (7 if unit == "week" else 1))]
    if unit in ("month", "year"):
        months = today.year * 12 + today.month - 1 + amount * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        return [date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))]
    return None


def _weekday(words: list[str], today: date) -> list[date] | None:
    which, name = (words[0], words[1]) if len(words) == 2 else ("", words[0])
    if len(words) > 2 or name not in _WEEKDAYS:
        return None
    ahead = (_WEEKDAYS[name] - today.weekday() - 1) % 7 + 1  # 1 to 7 days from today
    coming = today + timedelta(days=ahead)
    if which in ("", "coming"):
        return [coming]
    if which == "this":
        return [today if ahead == 7 else coming]
    if which == "last":
        return [coming - timedelta(days=7)]
    if which == "next":
        same_week = today.weekday() + ahead <= 6
        return [coming, coming + timedelta(days=7)] if same_week else [coming]
    return None


def _calendar_day(words: list[str], said: list[str], today: date) -> list[date] | None:
    if len(words) == 1:
        written = _written(words[0], today)
        if written is not None:
            return written
    months = [(i, _MONTHS[w]) for i, w in enumerate(words) if w in _MONTHS]
    if not months:
        day = read_ordinal(words) if "the" in said or words[0][0].isdecimal() else None
        return _coming_day(day[0], today) if day and day[1] == len(words) else None
    at, month = months[0]
    before, after = words[:at], words[at + 1 :]
    if before:
        day_number, year_words = _day(before), after
    else:
        day_number, year_words = None, []
        for cut in range(len(after), 0, -1):
            year_part = after[cut:]
            day_number = _day(after[:cut])
            if day_number is not None and (not year_part or _year(year_part) is not None):
                year_words = year_part
                break
    if day_number is None:
        return None
    year = _year(year_words) if year_words else None
    if year_words and year is None:
        return None
    try:
        return [date(year, month, day_number)] if year else [_coming(month, day_number, today)]
    except ValueError:
        return None


def _day(words: list[str]) -> int | None:
    found = read_ordinal(words)
    value = found[0] if found and found[1] == len(words) else whole_number(words)
    return value if isinstance(value, int) and 1 <= value <= 31 else None


def _year(words: list[str]) -> int | None:
    value = spoken_year(words) or whole_number(words)
    return value if isinstance(value, int) and 1900 <= value <= 2999 else None


def _written(word: str, today: date) -> list[date] | None:
    """2026-11-21; 21/11/2026 or 11/21/2026 where only one of them is a date, both where both are."""
    try:
        return [date.fromisoformat(word)]
    except ValueError:
        pass
    parts = re.fullmatch(r"(\d{1,2})/(\d{1,2})(?:/(\d{4}|\d{2}))?", word)
    if not parts:
        return None
    first, second = int(parts[1]), int(parts[2])
    found: set[date] = set()
    for month, day in ((first, second), (second, first)):
        try:
            year = int(parts[3]) + (2000 if len(parts[3]) == 2 else 0) if parts[3] else None
            found.add(date(year, month, day) if year else _coming(month, day, today))
        except ValueError:
            continue
    return sorted(found) or None


def _coming(month: int, day: int, today: date) -> date:
    """The next such day at or after today. Errors: ValueError when there is none (30 February)."""
    for year in range(today.year, today.year + 9):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found >= today:
            return found
    raise ValueError(f"no day {day} in month {month}")


def _coming_day(day: int, today: date) -> list[date] | None:
    """The next month's day of that number: "the fifteenth"."""
    if not 1 <= day <= 31:
        return None
    year, month = today.year, today.month
    for _ in range(13):
        if day <= calendar.monthrange(year, month)[1] and date(year, month, day) >= today:
            return [date(year, month, day)]
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return None

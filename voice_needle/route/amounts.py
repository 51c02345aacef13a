"""From words to a number as a schema wants it: in its unit, whole or not, within its bounds; or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voice_needle.route import times
from voice_needle.route.names import spoken_index, stems
from voice_needle.route.numbers import (
    Number,
    colloquial_hundreds,
    read_number,
    read_ordinal,
    spoken_digits,
    spoken_year,
    words_in,
)
from voice_needle.route.units import Unit, convert, find_unit, read_unit

_TYPED = re.compile(r"(?P<number>-?\d[\d,]*(?:\.\d+)?)(?:(?P<power>[eE][+-]?\d{1,3})|(?P<symbol>[A-Za-zµμΩ]{1,3}))?")
_COUNTED = frozenset(words_in("of them it items item pieces piece units unit pcs times time"))
_HINT = re.compile(
    r"\b(?:in|of|number of) (seconds|minutes|hours|percent|celsius|fahrenheit|meters|kilometers|miles|kilograms|pounds)\b"
)
_PERCENT = re.compile(r"per ?cent|%")
_DECIMAL = re.compile(r"\b(?:decimals?|0\.\d+)\b")
_RATE = re.compile(r"\b(?:rates?|returns?|yields?|growth|probabilit(?:y|ies)|chances?|fractions?|proportions?|shares?|confidence|interest)\b")
_SECOND = Unit("second", "time", 1.0)


@dataclass(frozen=True)
class Parsed:
    """A value that keeps the schema, and the words that support it."""

    value: Any
    evidence: str


@dataclass(frozen=True)
class Problem:
    """Why there is no value. kind: as Question.kind.

    detail: the words in question. options: what would be accepted (spoken forms, the bounds of a range, or the ISO readings of
    an ambiguous time).
    """

    kind: str  # missing | ambiguous | unknown_value | out_of_range | unsupported
    detail: str = ""
    options: tuple[str, ...] = ()


def check_bounds(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a number keeps minimum, maximum, exclusive bounds and multipleOf; bounds that are not numbers are ignored."""

    def bound(key: str) -> Number | None:
        found = schema.get(key)
        return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None

    low, high, above, below = bound("minimum"), bound("maximum"), bound("exclusiveMinimum"), bound("exclusiveMaximum")
    step = bound("multipleOf")
    if (low is not None and value < low) or (high is not None and value > high):
        return False
    if (above is not None and value <= above) or (below is not None and value >= below):
        return False
    return not step or abs(value / step - round(value / step)) < 1e-9


def plain_number(words: Sequence[str]) -> Number | None:
    """The number that all words say, by any reading that has only one meaning."""
    found = read_number(words)
    if found and found[1] == len(words):
        return found[0]
    if len(words) > 1 and words[0] == "number":
        return plain_number(words[1:])
    hundreds = colloquial_hundreds(words)
    if hundreds is not None:
        return hundreds
    if len(words) == 2 and words[0] == words[1]:
        return None  # "five five": a stumble over 5 as likely as 55
    digits = spoken_digits(words)
    return int(digits) if digits and len(words) > 1 and digits[0] != "0" else None


def declared_unit(schema: Mapping[str, Any]) -> tuple[str, Unit | None]:
    """The unit a number is wanted in: x-unit, else "in minutes" in the description. ("", None) where there is none."""
    name = str(schema.get("x-unit") or "")
    if not name:
        hint = _HINT.search(str(schema.get("description") or "").lower())
        name = hint[1] if hint else ""
    return name, find_unit(name) if name else None


def number_of(words: list[str], evidence: str, schema: Mapping[str, Any], *, integer: bool) -> Parsed | Problem:
    """The number that the words say, in the unit of the schema. words: the evidence tokenised, without fillers."""
    written = _written_number(evidence) if not schema.get("x-unit") else None
    if written is not None:
        return _bounded(written, evidence, schema, integer)
    name, wanted = declared_unit(schema)
    named = spoken_index(schema).find(" ".join(words)) if schema.get("x-spoken") else ()
    value: Number | None
    if len(named) == 1:
        try:
            value = float(named[0]) if "." in named[0] else int(named[0])
        except ValueError:
            return Problem("unsupported", evidence)
        return _bounded(value, evidence, schema, integer)
    if wanted and wanted.dimension == "time" and (seconds := times.read_seconds(words)) is not None:
        return _bounded(convert(seconds, _SECOND, wanted), evidence, schema, integer)
    if plain_number(words) is None:  # "twenty first" and "twenty twenty six" begin with a number, but are not it
        ordinal = read_ordinal(_strip_article(words))
        if integer and not name and ordinal and ordinal[1] == len(_strip_article(words)):
            return _bounded(ordinal[0], evidence, schema, integer)
        year = spoken_year(words) if _is_year(schema) else None
        if year is not None:
            return _bounded(year, evidence, schema, integer)
    value, rest = _value_and_rest(words)
    if value is None:
        return Problem("unsupported", evidence)
    return _with_unit(value, rest, evidence, schema, integer)


def _written_number(text: str) -> Number | None:
    """A number as engineers type it: "1e-9", and "5C" or "100µF" whose symbol is no unit that could be converted."""
    match = _TYPED.fullmatch(text.strip(" .,;:"))
    if match is None or (match["power"] is None and match["symbol"] is None):
        return None
    symbol = (match["symbol"] or "").lower()
    if symbol in ("am", "pm", "st", "nd", "rd", "th", "s", "h", "k", "m") or read_unit([symbol], 0):
        return None
    return float(match["number"].replace(",", "") + (match["power"] or ""))


def _strip_article(words: list[str]) -> list[str]:
    return words[1:] if len(words) > 1 and words[0] == "the" else words


def _is_year(schema: Mapping[str, Any]) -> bool:
    low = schema.get("minimum")
    return "year" in str(schema.get("description", "")).lower() or (isinstance(low, (int, float)) and low >= 1000)


def _value_and_rest(words: list[str]) -> tuple[Number | None, list[str]]:
    """The number at the start, and the words (of a unit) after it."""
    whole = plain_number(words)
    if whole is not None:
        return whole, []
    for cut in range(len(words) - 1, 0, -1):
        value = plain_number(words[:cut])
        if value is not None:
            return value, words[cut:]
    if words[0] in ("a", "an") and len(words) == 2 and read_unit(words, 1):
        return 1, words[1:]
    return None, words


def _with_unit(
    value: Number, rest: list[str], evidence: str, schema: Mapping[str, Any], integer: bool
) -> Parsed | Problem:
    name, wanted = declared_unit(schema)
    if 0 < value < 1 and rest[:1] == ["of"]:
        rest = rest[1:]
    if 0 < value < 1 and rest[:1] and rest[0] in ("a", "an", "way"):
        rest = rest[1:]
    said = read_unit(rest, 0) if rest else None
    if rest and (said is None or said[1] != len(rest)) and not _is_noun_of(rest, name, schema):
        return Problem("unsupported", evidence)
    unit = said[0] if said and said[1] == len(rest) else None
    if wanted and wanted.name == "percent" and unit is None and 0 < value < 1:
        value = round(value * 100, 6)  # "half" of a brightness is fifty percent
    elif unit and unit.name == "percent" and wanted is None and _is_share(schema, integer):
        value = round(value / 100, 10)
    elif unit and wanted:
        converted = convert(value, unit, wanted)
        if converted is None:
            return Problem("unsupported", evidence)
        value = converted if unit == wanted else _to_step(converted, wanted, schema, integer)
    elif unit and name and stems(" ".join(rest)) != stems(name.replace("_", " ")):
        return Problem("unsupported", evidence)
    return _bounded(value, evidence, schema, integer)


def _is_share(schema: Mapping[str, Any], integer: bool) -> bool:
    """Whether the parameter takes 0.05 for five percent: its bounds say so, or it is described as a rate or a chance and not in percent."""
    maximum = schema.get("maximum")
    if isinstance(maximum, (int, float)):
        return maximum <= 1
    told = str(schema.get("description") or "").lower()
    if _DECIMAL.search(told):  # "in decimal form, 5% is 0.05"
        return not integer
    return not integer and not schema.get("x-unit") and bool(_RATE.search(told)) and not _PERCENT.search(told)


def _to_step(value: Number, unit: Unit, schema: Mapping[str, Any], integer: bool) -> Number:
    """A converted temperature to the precision of the parameter (its multipleOf, a whole degree, or a tenth)."""
    if unit.dimension != "temperature":
        return value
    step = schema.get("multipleOf")
    if not isinstance(step, (int, float)) or step <= 0:
        step = 1 if integer else 0.1
    return round(round(value / step) * step, 6)


def _is_noun_of(rest: list[str], name: str, schema: Mapping[str, Any]) -> bool:
    """Whether the words after a number are what is counted: the schema's own unit, or "of them", "pieces"."""
    if all(word in _COUNTED for word in rest):
        return find_unit(name) is None
    if not name and len(rest) == 1 and len(rest[0]) > 3 and rest[0].endswith("s"):
        return True  # "twenty boxes", where what is counted is another parameter
    return bool(name) and stems(" ".join(w for w in rest if w != "of")) == stems(name.replace("_", " "))


def _bounded(value: Number | None, evidence: str, schema: Mapping[str, Any], integer: bool) -> Parsed | Problem:
    if value is None:
        return Problem("unsupported", evidence)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if integer and not isinstance(value, int):
        return Problem("unsupported", evidence)
    if not check_bounds(value, schema):
        bounds = [schema.get(k) for k in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")]
        return Problem("out_of_range", evidence, tuple(str(b) for b in bounds if b is not None))
    return Parsed(value, evidence)

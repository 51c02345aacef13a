"""Identifiers as people spell them: letters, the NATO alphabet, digits and signs: "bin a fourteen" is A14.

Spelling words: ICAO Annex 10, volume II, 5.2.1.3. Letter names as recognisers write them ("bee", "see") count as letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from voice_needle.route.numbers import read_number, spoken_digits, words_in

_NATO = {w: w[0].upper() for w in words_in("alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike "
         "november oscar papa quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu")}  # fmt: skip
_LETTER_NAMES = {
    "bee": "B", "be": "B", "see": "C", "sea": "C", "cee": "C", "dee": "D", "gee": "G", "jay": "J", "kay": "K", "el": "L",
    "em": "M", "en": "N", "pee": "P", "cue": "Q", "queue": "Q", "are": "R", "ess": "S", "tee": "T", "tea": "T", "you": "U",
    "vee": "V", "ex": "X", "why": "Y", "zee": "Z", "zed": "Z", "ay": "A", "eff": "F",
}  # fmt: skip
_SIGNS = {"dash": "-", "hyphen": "-", "minus": "-", "slash": "/", "dot": ".", "point": ".", "underscore": "_"}
_NOUNS = frozenset(words_in("bin number order item slot shelf rack row aisle location code id zone sku part the gate flight room bay dock "
                   "lot batch pallet box carton tote cart ticket booking reference platform track seat table bed door lane "
                   "customer account invoice parcel tracking bus line unit product article serial to from in at for"))  # fmt: skip


def read_identifier(words: Sequence[str], schema: Mapping[str, Any] | None = None) -> str | None:
    """The identifier that all of `words` spell, in capitals and in the form the schema's pattern asks for; None if none."""
    schema = schema or {}
    nouns = _NOUNS | set(re.findall(r"[a-z]+", str(schema.get("description", "")).lower())) - {"a"}
    start = 0
    while start < len(words) - 1 and words[start] in nouns and _NATO.get(words[start]) is None:
        start += 1
    text = _spell(list(words[start:]))
    if text is None:
        return None
    return _fit(text, schema.get("pattern"))


def _spell(words: list[str]) -> str | None:
    out, at = "", 0
    while at < len(words):
        word = words[at]
        if word in ("capital", "letter", "number", "the", "and") and at + 1 < len(words):
            at += 1
            continue
        if word in _SIGNS and out and at + 1 < len(words):
            out, at = out + _SIGNS[word], at + 1
            continue
        if word == "x" and words[at + 1 : at + 2] == ["ray"]:
            out, at = out + "X", at + 2
            continue
        if word == "double" and words[at + 1 : at + 2] in (["you"], ["u"]):
            out, at = out + "W", at + 2
            continue
        if word in ("double", "triple") and at + 1 < len(words):
            one = spoken_digits(words[at + 1 : at + 2]) or _letter(words[at + 1])
            if not one:
                return None
            out, at = out + one * (2 if word == "double" else 3), at + 2
            continue
        piece = _number(words, at)
        if piece is None:
            letter = _letter(word) or (word.upper() if any(c.isdecimal() for c in word) and word.isalnum() else None)
            if letter is None:
                return None
            piece = letter, at + 1
            if words[at + 1 : at + 3] == ["as", "in"] and words[at + 3 : at + 4] and words[at + 3][0].upper() == letter:
                piece = letter, at + 4
        out, at = out + piece[0], piece[1]
    return out or None


def _letter(word: str) -> str | None:
    if len(word) == 1 and word.isalpha():
        return word.upper()
    return _NATO.get(word) or _LETTER_NAMES.get(word)


def _number(words: list[str], at: int) -> tuple[str, int] | None:
    if words[at] in ("oh", "o"):
        following = words[at + 1] if at + 1 < len(words) else ""
        before = words[at - 1] if at else ""
        beside = spoken_digits([following]) or spoken_digits([before]) or _letter(before)
        return ("0" if beside or words[at] == "oh" else "O"), at + 1
    if words[at].isdecimal():
        return words[at], at + 1
    if words[at] in ("a", "an", "half", "quarter", "third", "point", "minus", "negative", "dozen"):
        return None
    found = read_number(words, at)
    if found is None or not isinstance(found[0], int):
        one = spoken_digits(words[at : at + 1])
        return (one, at + 1) if one else None
    return str(found[0]), found[1]


def _fit(text: str, pattern: Any) -> str | None:
    """`text` in the form the pattern accepts: as it is, lower case, or with the dashes that nobody says."""
    if not isinstance(pattern, str):
        return text
    parted = "-".join(re.findall(r"[A-Z]+|\d+|[^A-Z\d]+", text)).replace("---", "-")
    bare = text.replace("-", "")
    for form in (text, text.lower(), parted, parted.lower(), bare, bare.lower()):
        try:
            if re.search(pattern, form):
                return form
        except re.error:
            return None
    return None

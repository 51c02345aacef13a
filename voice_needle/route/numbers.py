"""Numbers as people say them: words, digits, fractions, dozens and decimals.

Our own, because text2num 3.1 (measured) refuses "twenty two point five", "a hundred and five", "half", "minus five",
"a dozen", "two and a half" and plain "22.5". A call here costs about 10 microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Number = int | float


def words_in(text: str) -> list[str]:
    """The words of a table written as running text."""
    return text.split()


_UNITS = {w: i for i, w in enumerate(words_in("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
                                     "fifteen sixteen seventeen eighteen nineteen"))}  # fmt: skip
_UNITS |= {"nought": 0, "naught": 0, "fourty": 40}
_TENS = {w: 10 * i for i, w in enumerate(words_in("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_FRACTIONS = {"half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourths": 4, "fifth": 5,
              "fifths": 5, "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10}  # fmt: skip
_ORDINALS = {w: i for i, w in enumerate(words_in("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth "
                                        "thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth "
                                        "nineteenth"), start=1)}  # fmt: skip
_ORDINALS |= {"twentieth": 20, "thirtieth": 30, "fortieth": 40, "fiftieth": 50, "hundredth": 100}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NUMBER_WORDS = (
    frozenset(_UNITS)
    | frozenset(_TENS)
    | frozenset(_SCALES)
    | frozenset(words_in("a an half quarter quarters third minus negative dozen couple pair point oh"))
)

_TOKEN = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:t\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}[:.]\d{2}(?=\s?[ap]\.?m\b)|\d{1,2}:\d{2}(?::\d{2})?|\d+/\d+(?:/\d+)?"
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:st|nd|rd|th)\b|\d*\.\d+|\d+|[ap]\.m\.|'s\b|[^\W\d_]+(?:'(?!s\b)[^\W\d_]+)*|[%°$€£&+@/_-]",
    re.UNICODE,
)
_SIGNS = {"%": "percent", "°": "degrees", "&": "and", "+": "plus", "a.m.": "am", "p.m.": "pm"}


def tokenize(text: str) -> list[str]:
    """Lower-case words of `text`, as a recogniser would write them: "7pm" -> 7 pm, "50%" -> 50 percent, "kitchen's" -> kitchen 's.

    A minus sign stays one only in front of a number; other hyphens part words.
    """
    text = text.lower().replace("’", "'")
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word == "-":
            before = text[match.start() - 1 : match.start()]
            if text[match.end() : match.end() + 1].isdecimal() and (not before or before.isspace()):
                words.append("minus")
            continue
        if word in "/_@":
            continue
        words.append(_SIGNS.get(word, word))
    return _join_initials(words)


def _join_initials(words: list[str]) -> list[str]:
    """ "a m" and "p m", as recognisers write them, become am and pm, unless another single letter stands beside them."""
    if "m" not in words:
        return words
    joined: list[str] = []
    for i, word in enumerate(words):
        if (
            word == "m"
            and joined
            and joined[-1] in ("a", "p")
            and (i < 2 or len(words[i - 2]) > 1 or words[i - 2].isdecimal())
        ):
            joined[-1] += "m"
        else:
            joined.append(word)
    return joined


def is_number_word(word: str) -> bool:
    """Whether a number may start with, or hold, this word."""
    return word in _NUMBER_WORDS or word[0].isdecimal() or (word[0] == "." and len(word) > 1)


def read_number(words: Sequence[str], at: int = 0) -> tuple[Number, int] | None:
    """The longest number that starts at `at`, and the index after it; None where there is none."""
    start = at
    sign = 1
    if at < len(words) and words[at] in ("minus", "negative"):
        sign, at = -1, at + 1
    found = _fraction(words, at) or _plain(words, at)
    if found is None:
        return None
    value, end = found
    value, end = _after(words, value, end)
    return (sign * value, end) if end > start else None


def whole_number(words: Sequence[str]) -> Number | None:
    """The number that all of `words` say, or None."""
    found = read_number(words)
    return found[0] if found and found[1] == len(words) else None


def _plain(words: Sequence[str], at: int) -> tuple[Number, int] | None:
    if at >= len(words):
        return None
    word = words[at]
    if word in ("a", "an"):
        following = words[at + 1] if at + 1 < len(words) else ""
        if following in _SCALES or following == "dozen":
            return (12, at + 2) if following == "dozen" else _cardinal(("one", *words[at + 1 :]), 0, shift=at)
        if following in ("couple", "pair"):
            return 2, at + 2 + (at + 2 < len(words) and words[at + 2] == "of")
        return None
    if word == "dozen":
        return 12, at + 1
    if _DIGITS.fullmatch(word):
        return _digits(words, at)
    if word == "point":
        return _decimals(words, 0, at)
    found = _cardinal(words, at)
    if found is None:
        return None
    return _decimals(words, *found) or found


def _digits(words: Sequence[str], at: int) -> tuple[Number, int]:
    text = words[at].replace(",", "")
    value: Number = float(text) if "." in text else int(text)
    end = at + 1
    while end < len(words) and words[end] in _SCALES:
        value, end = tidy(value * _SCALES[words[end]]), end + 1
        if end < len(words) and words[end] in _UNITS | _TENS and isinstance(value, int):
            rest = _cardinal(words, end)
            if rest and rest[0] < 100:
                return value + rest[0], rest[1]
    return _decimals(words, value, end) or (value, end)


def _cardinal(words: Sequence[str], at: int, shift: int = 0) -> tuple[int, int] | None:
    """Number words by the English grammar: each scale once, falling; "and" only after a hundred or more."""
    total = group = 0
    last_scale = 10**12
    end = at
    last = ""  # what the group ended with: unit | tens | hundred | scale
    while end < len(words):
        word = words[end]
        if word == "and" and last in ("hundred", "scale") and end + 1 < len(words) and words[end + 1] in _UNITS | _TENS:
            end += 1
            continue
        opens = last in ("", "hundred", "scale") and not (_UNITS.get(word) == 0 and end > at)
        if word in _UNITS and (opens or (last == "tens" and 0 < _UNITS[word] < 10)):
            group, last = group + _UNITS[word], "unit"
        elif word in _TENS and last in ("", "hundred", "scale"):
            group, last = group + _TENS[word], "tens"
        elif word == "hundred" and last in ("unit", "tens") and 0 < group < 100:
            group, last = group * 100, "hundred"
        elif word in _SCALES and word != "hundred" and group and _SCALES[word] < last_scale:
            total, last_scale, group, last = total + group * _SCALES[word], _SCALES[word], 0, "scale"
        else:
            break
        end += 1
    if not last:
        return None
    while end > at and words[end - 1] == "and":
        end -= 1
    return total + group, end + shift


def _decimals(words: Sequence[str], value: Number, at: int) -> tuple[Number, int] | None:
    """What follows a decimal point, after `value`: "point five", "point two five", "point oh five", after `value`."""
    if at + 1 >= len(words) or words[at] != "point" or not isinstance(value, int):
        return None
    digits, end = "", at + 1
    while end < len(words):
        word = words[end]
        if word in ("oh", "o"):
            digits += "0"
        elif word in _UNITS and _UNITS[word] < 10:
            digits += str(_UNITS[word])
        elif not digits and word.isdecimal():
            digits, end = word, end + 1
            break
        elif not digits and word in _UNITS | _TENS:  # "point fifteen", "point twenty five"
            found = _cardinal(words, end)
            assert found is not None
            digits, end = str(found[0]), found[1]
            break
        else:
            break
        end += 1
    return (float(f"{value}.{digits}"), end) if digits else None


def _fraction(words: Sequence[str], at: int) -> tuple[Number, int] | None:
    """half, a half, a quarter, three quarters, two thirds, half a dozen, half a million."""
    if at >= len(words):
        return None
    if words[at] == "half":
        if at + 2 < len(words) and words[at + 1] == "a" and (words[at + 2] in _SCALES or words[at + 2] == "dozen"):
            return (6 if words[at + 2] == "dozen" else _SCALES[words[at + 2]] // 2), at + 3
        return 0.5, at + 1
    if words[at] == "quarter":
        return 0.25, at + 1
    if at + 1 >= len(words) or words[at + 1] not in _FRACTIONS:
        return None
    if words[at] in ("a", "an", "one"):
        return 1 / _FRACTIONS[words[at + 1]], at + 2
    count = _UNITS.get(words[at], int(words[at]) if words[at].isdecimal() else 0)
    plural = words[at + 1].endswith("s")
    if plural and 2 <= count < 20:
        return tidy(count / _FRACTIONS[words[at + 1]]), at + 2
    return None


def _after(words: Sequence[str], value: Number, at: int) -> tuple[Number, int]:
    """What may follow a whole number: "and a half", "and three quarters", "dozen", "million"."""
    if at < len(words) and words[at] == "dozen" and isinstance(value, int) and value < 1000:
        return value * 12, at + 1
    if at < len(words) and words[at] in ("thousand", "million", "billion") and isinstance(value, float):
        return tidy(value * _SCALES[words[at]]), at + 1
    if at + 1 < len(words) and words[at] == "and" and isinstance(value, int):
        part = _fraction(words, at + 1)
        if part and 0 < part[0] < 1:
            total = value + part[0]
            if part[1] < len(words) and words[part[1]] in ("thousand", "million", "billion"):
                return tidy(total * _SCALES[words[part[1]]]), part[1] + 1
            return total, part[1]
    return value, at


def tidy(value: float) -> Number:
    """An integer where it is one; else rounded to twelve digits, so that 2.2 * 1000 is 2200."""
    value = round(value, 9)
    return int(value) if float(value).is_integer() else value


def read_ordinal(words: Sequence[str], at: int = 0) -> tuple[int, int] | None:
    """ "third", "twenty first", "3rd": the number and the index after it."""
    if at >= len(words):
        return None
    word = words[at]
    if len(word) > 2 and word[:-2].isdecimal() and word[-2:] in ("st", "nd", "rd", "th"):
        return int(word[:-2]), at + 1
    if word in _ORDINALS:
        return _ORDINALS[word], at + 1
    if word in _TENS and at + 1 < len(words) and _ORDINALS.get(words[at + 1], 99) < 10:
        return _TENS[word] + _ORDINALS[words[at + 1]], at + 2
    return None


def spoken_digits(words: Sequence[str]) -> str | None:
    """ "four seven two", "one oh five", "double seven" as the digits they spell; None when any word is something else."""
    digits, times = "", 1
    for word in words:
        if word in ("double", "triple"):
            times = 2 if word == "double" else 3
            continue
        if word in ("oh", "o"):
            digit = "0"
        elif word in _UNITS and _UNITS[word] < 10:
            digit = str(_UNITS[word])
        elif word.isdecimal() and len(word) == 1:
            digit = word
        else:
            return None
        digits, times = digits + digit * times, 1
    return digits or None


def colloquial_hundreds(words: Sequence[str]) -> int | None:
    """ "one eighty" -> 180, "two fifty five" -> 255: a digit, then ten to ninety-nine."""
    if len(words) < 2 or not 0 < _UNITS.get(words[0], 0) < 10:
        return None
    rest = whole_number(words[1:])
    return _UNITS[words[0]] * 100 + rest if isinstance(rest, int) and 10 <= rest < 100 else None


def spoken_year(words: Sequence[str]) -> int | None:
    """ "twenty twenty six" -> 2026, "nineteen oh five" -> 1905, "nineteen eighty" -> 1980."""
    if len(words) < 2:
        return None
    century = _UNITS.get(words[0], _TENS.get(words[0], 0))
    rest = words[2:] if words[1] in ("oh", "o") else words[1:]
    value = whole_number(rest)
    low, high = (1, 9) if words[1] in ("oh", "o") else (10, 99)
    if 10 <= century <= 29 and isinstance(value, int) and low <= value <= high:
        return century * 100 + value
    return None

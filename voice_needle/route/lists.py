"""Where one item of a spoken list ends and the next begins: "milk eggs and bread", "the kitchen, the hall, and the study".

Recognisers write no commas. Items of a vocabulary or numbers part by themselves; open items part at "and", and before it only
where every item is a household word listed here, because "orange juice" may be one thing or two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from voice_needle.route.numbers import read_number, tokenize
from voice_needle.tools import spoken_forms

_JOINTS = re.compile(
    r"\s*,\s*(?:and\s+|or\s+|plus\s+)?|\s+(?:and\s+then|and\s+also|and|plus|as well as|&)\s+", re.IGNORECASE
)
_THINGS = frozenset(
    """
    milk|eggs|egg|bread|butter|cheese|flour|sugar|salt|pepper|rice|pasta|noodles|oats|cereal|yoghurt|yogurt|cream|honey|jam
    coffee|tea|water|juice|beer|wine|soda|cola|chocolate|biscuits|cookies|crisps|chips|nuts|apples|apple|bananas|banana
    oranges|lemons|limes|grapes|pears|strawberries|tomatoes|potatoes|onions|onion|garlic|carrots|lettuce|spinach|broccoli
    cucumber|mushrooms|peas|beans|corn|chicken|beef|pork|ham|bacon|sausages|fish|salmon|tuna|vinegar|ketchup|mustard
    mayonnaise|soap|shampoo|toothpaste|tissues|sponges|bleach|batteries|candles|matches|nappies|diapers|razors
    orange juice|apple juice|ice cream|olive oil|paper towels|toilet paper|washing powder|dish soap|peanut butter
    sour cream|cream cheese|green beans|sweet potatoes|tomato sauce|soy sauce|baking powder|light bulbs|bin bags|cat food
    dog food|chicken breast|green tea|washing up liquid|butter chicken|garlic chicken|banana bread|garlic bread|garlic butter
    chocolate milk|rice milk|chocolate biscuits|chocolate cookies|egg noodles|rice noodles|egg pasta|tuna pasta|banana chips
    coffee beans|coffee cream|corn flour|rice flour|bread flour|honey mustard|chicken sausages|pork sausages|beef sausages
    fish and chips|macaroni and cheese|mac and cheese|bangers and mash|gin and tonic
    """.strip().replace("\n", "|").replace("    ", "").split("|")
)  # fmt: skip
_LONGEST = max(len(thing.split()) for thing in _THINGS)


def split_list(text: str, item: Mapping[str, Any], *, numeric: bool = False) -> list[str]:
    """The words of each item of `text`, in spoken order. item: the schema of one item."""
    parts = [part.strip() for part in _JOINTS.split(text) if part and part.strip()]
    if numeric:
        return [piece for part in _and_halves(text) for piece in _numbers(part)]
    known = _known(item)
    return [piece for part in _paired(parts, text, known) for piece in _run(part, known)]


def _paired(parts: list[str], text: str, known: frozenset[str]) -> list[str]:
    """The same with what is one known thing that holds an "and", as "fish and chips", put together again."""
    found: list[str] = []
    for part in parts:
        both = f"{found[-1]} and {part}" if found else ""
        if both.lower() in known and both in text:
            found[-1] = both
        else:
            found.append(part)
    return found


def _known(item: Mapping[str, Any]) -> frozenset[str]:
    if "enum" in item:
        return frozenset(" ".join(tokenize(form)) for forms in spoken_forms(item).values() for form in forms)
    examples = item.get("examples")
    return _THINGS | frozenset(str(e).lower() for e in examples) if isinstance(examples, list) else _THINGS


def _run(text: str, known: frozenset[str]) -> list[str]:
    """`text` as several known items, or as one item where it is not wholly made of them."""
    words = text.split()
    longest = max(_LONGEST, max((len(k.split()) for k in known), default=1))
    items, at = [], 0
    while at < len(words):
        skip = 1 if words[at].lower() in ("the", "some", "a", "my") and at + 1 < len(words) else 0
        for length in range(min(longest, len(words) - at - skip), 0, -1):
            if " ".join(words[at + skip : at + skip + length]).lower() in known:
                items.append(" ".join(words[at : at + skip + length]))
                at += skip + length
                break
        else:
            return [text]
    return items


def _and_halves(text: str) -> list[str]:
    return [part for part in re.split(r"\s*,\s*(?:and\s+)?", text) if part.strip()]


def _numbers(text: str) -> list[str]:
    """ "three five and seven": the words of each number; the text itself where something else is in it."""
    words = tokenize(text)
    found, at = [], 0
    while at < len(words):
        if words[at] in ("and", "plus") and at:
            at += 1
            continue
        number = read_number(words, at)
        if number is None:
            return [text]
        found.append(" ".join(words[at : number[1]]))
        at = number[1]
    return found

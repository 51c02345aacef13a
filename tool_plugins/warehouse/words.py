"""Stock in words: quantities with their units, names of items and what people call them, sentences for refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .stock import DOCK

_PLURALS = {
    "box": "boxes",
    "piece": "pieces",
    "pair": "pairs",
    "metre": "metres",
    "kilogram": "kilograms",
    "litre": "litres",
}


def plural(unit: str) -> str:
    return _PLURALS.get(unit, f"{unit}s")


def key(item: Mapping[str, Any]) -> str:
    """The item's name in tool calls: "hex_bolts"."""
    return re.sub(r"[^a-z0-9]+", "_", str(item["plural"]).lower()).strip("_")


def vocabulary(items: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Item key -> spoken forms, the first of which is said. Two items of one name are told apart by their SKU."""
    found: dict[str, list[str]] = {}
    for item in items:
        name = key(item) if key(item) not in found else f"{key(item)}_{item['sku'].lower().replace('-', '_')}"
        found[name] = list(dict.fromkeys([item["plural"], item["name"], *item["aliases"]]))
    return found


def amount(quantity: int, item: Mapping[str, Any]) -> str:
    """ "5 hex bolts", "1 hex bolt", "20 metres of speaker cable"."""
    unit = item["unit"]
    if unit == "piece":
        return f"{quantity or 'no'} {item['name'] if quantity == 1 else item['plural']}"
    return f"{quantity or 'no'} {unit if quantity == 1 else plural(unit)} of {item['plural']}"


def bare(quantity: int, item: Mapping[str, Any]) -> str:
    """The quantity where the item was named just before: "4", "4 metres"."""
    if item["unit"] == "piece":
        return str(quantity)
    return f"{quantity} {item['unit'] if quantity == 1 else plural(item['unit'])}"


def place(code: str) -> str:
    """A bin as it is said: "A 14", "the dock"."""
    return "the dock" if code == DOCK else " ".join(re.findall(r"[A-Z]+|\d+", code)) or code


_SPELLING = (  # ICAO Annex 10, volume II, 5.2.1.3
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima", "mike",
    "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "x-ray", "yankee", "zulu",
)  # fmt: skip
_NATO = {word[0].upper(): word for word in _SPELLING}


def unknown_bin(code: str, near: Sequence[str]) -> str:
    """That there is no such bin; where a letter was perhaps misheard, how to say the other one unmistakably."""
    if not near:
        return f"There is no bin {place(code)}. Nothing was changed."
    spelled = " ".join(_NATO.get(part, part) for part in place(near[0]).split())
    return f"There is no bin {place(code)}. For {place(near[0])}, say {spelled}."


def listed(parts: Sequence[str], last: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def booked(kind: str, done: Mapping[str, Any], item: Mapping[str, Any] | None) -> str:
    """One true sentence for a booking that was made. done: its outcome; item: None for what is taken back."""
    if item is None:
        return "I took it back."
    quantity = amount(done["quantity"], item)
    where = place(done["bin"])
    match kind:
        case "pick":
            return f"{quantity} picked from {where}; {bare(done['left'], item)} left."
        case "put_away":
            return f"{quantity} put away in {where}."
        case "move":
            return f"{quantity} moved from {where} to {place(done['to_bin'])}."
        case "receive":
            return f"{quantity} received, on the dock now."
        case "count":
            off = int(done["difference"])
            verdict = f"{abs(off)} {'more' if off > 0 else 'fewer'} than booked" if off else "as booked"
            return f"{quantity} counted in {where}, {verdict}."
        case "adjust":
            verb = "added" if done["reason"] == "found" else "written off"
            return f"{quantity} {verb} in {where} as {done['reason']}; {bare(done['left'], item)} there now."
    return "It is booked."


def refusal(kind: str, values: Mapping[str, Any], item: Mapping[str, Any] | None) -> str:
    """One true sentence for a booking that was not made."""
    name = item["plural"] if item else "that"
    match kind:
        case "too_few":
            held, wanted = values["held"], values["wanted"]
            left = bare(held, item) if item else str(held)
            return f"Only {left} left in {place(values['bin'])}, not {wanted}. Nothing was changed."
        case "none_left":
            return f"There are no {name} left in any bin. Nothing was changed."
        case "not_in_bin":
            elsewhere = [place(code) for code in values["elsewhere"]]
            where = f" They are in {listed(elsewhere)}." if elsewhere else " There are none anywhere."
            return f"There are no {name} in {place(values['bin'])}.{where} Nothing was changed."
        case "unknown_bin":
            return unknown_bin(values["bin"], values.get("near", []))
        case "unknown_item":
            return f"There is no item {values.get('sku', '')}. Nothing was changed."
        case "same_bin":
            return f"They are in {place(values['bin'])} already."
        case "already_reversed":
            return "That was taken back before."
        case "no_such_booking":
            return "That was never booked, so there is nothing to take back."
        case "line_done" | "no_such_line":
            return "That line was booked before."
    return "The stock system refused it. Nothing was changed."

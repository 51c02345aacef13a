"""Unit conversion and sums with exact fractions, so that a tenth and two tenths are three tenths.

Factors are exact by definition: the international yard and pound of 1959 (inch 25.4 mm, pound 0.45359237 kg), the imperial
gallon of 4.54609 litres with its pint and fluid ounce, cup 250 ml, tablespoon 15 ml, teaspoon 5 ml.
"""

from __future__ import annotations

from fractions import Fraction as F

from voice_needle.errors import ToolRefused
from voice_needle.plugin import Context, Result

_UNITS: dict[str, tuple[str, F]] = {
    "millimetre": ("length", F(1, 1000)), "centimetre": ("length", F(1, 100)), "metre": ("length", F(1)),
    "kilometre": ("length", F(1000)), "inch": ("length", F(254, 10000)), "foot": ("length", F(3048, 10000)),
    "yard": ("length", F(9144, 10000)), "mile": ("length", F(1609344, 1000)),
    "gram": ("mass", F(1, 1000)), "kilogram": ("mass", F(1)), "tonne": ("mass", F(1000)),
    "ounce": ("mass", F(45359237, 1600000000)), "pound": ("mass", F(45359237, 100000000)),
    "stone": ("mass", F(45359237 * 14, 100000000)),
    "millilitre": ("volume", F(1, 1000)), "litre": ("volume", F(1)), "teaspoon": ("volume", F(5, 1000)),
    "tablespoon": ("volume", F(15, 1000)), "cup": ("volume", F(1, 4)), "gallon": ("volume", F(454609, 100000)),
    "pint": ("volume", F(454609, 800000)), "fluid_ounce": ("volume", F(454609, 16000000)),
    "second": ("time", F(1)), "minute": ("time", F(60)), "hour": ("time", F(3600)), "day": ("time", F(86400)),
    "week": ("time", F(604800)),
}  # fmt: skip
_PLURAL = {"foot": "feet", "inch": "inches", "stone": "stone"}
_DEGREES = {"celsius": "degrees celsius", "fahrenheit": "degrees fahrenheit", "kelvin": "kelvin"}


def convert(ctx: Context, amount: float, unit: str, target: str) -> Result:
    given = exact(amount)
    if unit in _DEGREES and target in _DEGREES:
        value = _from_celsius(_to_celsius(given, unit), target)
    elif unit in _UNITS and target in _UNITS and _UNITS[unit][0] == _UNITS[target][0]:
        value = given * _UNITS[unit][1] / _UNITS[target][1]
    else:
        a, b = plural(unit, F(2)), plural(target, F(2))
        raise ToolRefused(f"{unit} to {target}", spoken=f"I cannot turn {a} into {b}.")
    return Result(
        answer=f"{spoken(given)[0]} {plural(unit, given)} {_equals(value, plural(target, value), given)}.",
        value=float(value),
    )


def _equals(value: F, unit: str, given: F) -> str:
    text, whole = spoken(value)
    verb = "is" if given == 1 else "are"
    return f"{verb} {text} {unit}" if whole else f"{verb} about {text} {unit}"


def _to_celsius(value: F, unit: str) -> F:
    celsius = {"celsius": value, "fahrenheit": (value - 32) * F(5, 9), "kelvin": value - F(27315, 100)}[unit]
    if celsius < -F(27315, 100):
        raise ToolRefused("below absolute zero", spoken="Nothing is as cold as that.")
    return celsius


def _from_celsius(value: F, unit: str) -> F:
    return {"celsius": value, "fahrenheit": value * F(9, 5) + 32, "kelvin": value + F(27315, 100)}[unit]


def calculate(ctx: Context, a: float, operation: str, b: float) -> Result:
    x, y = exact(a), exact(b)
    if operation == "divided_by" and y == 0:
        raise ToolRefused("division by zero", spoken="Nothing can be divided by zero.")
    match operation:
        case "plus":
            value = x + y
        case "minus":
            value = x - y
        case "times":
            value = x * y
        case "divided_by":
            value = x / y
        case _:
            value = x * y / 100
    word = operation.replace("_", " ")
    text, whole = spoken(value)
    return Result(
        answer=f"{spoken(x)[0]} {word} {spoken(y)[0]} is {'' if whole else 'about '}{text}.", value=float(value)
    )


def exact(value: float) -> F:
    """A spoken number as a fraction: 0.1 is a tenth, and what a third was rounded to is a third again."""
    written = F(str(value))
    simple = written.limit_denominator(12)
    return simple if abs(float(simple) - value) < 1e-12 else written


def spoken(value: F) -> tuple[str, bool]:
    """The number in digits, and whether that is all of it: at most four decimals, or four significant figures."""
    rounded = round(value, 4)
    if abs(value) < 1 and value != 0:
        places = 4
        while places < 15 and round(value, places) == 0:
            places += 1
        rounded = round(value, places + 2)
    elif value != rounded and abs(value) >= 100:
        rounded = round(value, 1)
    elif value != rounded:
        rounded = round(value, 2)
    number = float(rounded)
    text = f"{int(rounded)}" if rounded.denominator == 1 else f"{number:.12f}".rstrip("0")
    return text, rounded == value


def plural(unit: str, value: F) -> str:
    if unit in _DEGREES:
        return _DEGREES[unit]
    words = unit.replace("_", " ")
    return words if value == 1 else _PLURAL.get(unit, f"{words}s")

"""The units that numbers are said in, and what one is in another.

Our own table, because pint takes a quarter of a second to import on a desktop for the few dozen units that are spoken.
Factors: SI brochure, 9th edition, and NIST SP 811, appendix B.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voice_needle.route.numbers import Number, tidy


@dataclass(frozen=True)
class Unit:
    """One unit: value_in_base = value * factor + offset."""

    name: str
    dimension: str
    factor: float = 1.0
    offset: float = 0.0


_TABLE = """
time second 1 second seconds sec secs s
time minute 60 minute minutes min mins
time hour 3600 hour hours hr hrs h
time day 86400 day days
time week 604800 week weeks
time millisecond 0.001 millisecond milliseconds ms
ratio percent 1 percent percentage percents pct
length meter 1 meter meters metre metres m
length kilometer 1000 kilometer kilometers kilometre kilometres km kms kilometers
length centimeter 0.01 centimeter centimeters centimetre centimetres cm
length millimeter 0.001 millimeter millimeters millimetre millimetres mm
length mile 1609.344 mile miles mi
length yard 0.9144 yard yards
length foot 0.3048 foot feet ft
length inch 0.0254 inch inches
mass gram 1 gram grams gramme grammes g
mass kilogram 1000 kilogram kilograms kilo kilos kg kgs
mass pound 453.59237 pound pounds lb lbs
mass ounce 28.349523125 ounce ounces oz
mass tonne 1000000 tonne tonnes
mass milligram 0.001 milligram milligrams mg
volume liter 1 liter liters litre litres l
volume milliliter 0.001 milliliter milliliters millilitre millilitres ml
volume gallon 3.785411784 gallon gallons
volume cup 0.2365882365 cup cups
volume centiliter 0.01 centiliter centiliters centilitre centilitres cl
speed meter_per_second 1 mps
speed kilometer_per_hour 0.2777777777777778 kph kmh
speed mile_per_hour 0.44704 mph
pressure bar 1 bar bars
pressure psi 0.0689475729317831 psi
pressure hectopascal 0.001 hectopascal hectopascals millibar millibars hpa
pressure kilopascal 0.01 kilopascal kilopascals kpa
power watt 1 watt watts w
power kilowatt 1000 kilowatt kilowatts kw
voltage volt 1 volt volts v
current ampere 1 ampere amperes amp amps
frequency hertz 1 hertz hz
frequency kilohertz 1000 kilohertz khz
frequency megahertz 1000000 megahertz mhz
loudness decibel 1 decibel decibels db
temperature_colour kelvin_colour 1
money dollar 1 dollar dollars bucks usd
money cent 0.01 cent cents
euro euro 1 euro euros eur
"""
_ALIASES: dict[str, Unit] = {}
for _line in _TABLE.strip().splitlines():
    _dimension, _name, _factor, *_words = _line.split()
    for _word in (_name, *_words):
        _ALIASES[_word] = Unit(_name, _dimension, float(_factor))
for _unit, _words in (
    (Unit("celsius", "temperature"), ["celsius", "centigrade", "degree_celsius", "degrees_celsius", "°c"]),
    (
        Unit("fahrenheit", "temperature", 5 / 9, -160 / 9),
        ["fahrenheit", "degree_fahrenheit", "degrees_fahrenheit", "°f"],
    ),
    (Unit("kelvin", "temperature", 1.0, -273.15), ["kelvin", "kelvins"]),
    (Unit("degree", "angle"), ["degree", "degrees", "deg"]),
):
    _ALIASES |= dict.fromkeys(_words, _unit)
_PHRASES = {
    ("degrees", "celsius"): "celsius", ("degrees", "centigrade"): "celsius", ("degree", "celsius"): "celsius",
    ("degrees", "c"): "celsius", ("degrees", "f"): "fahrenheit", ("degrees", "fahrenheit"): "fahrenheit",
    ("degree", "fahrenheit"): "fahrenheit", ("degrees", "kelvin"): "kelvin",
    ("miles", "per", "hour"): "mph", ("miles", "an", "hour"): "mph", ("mile", "per", "hour"): "mph",
    ("kilometers", "per", "hour"): "kph", ("kilometres", "per", "hour"): "kph", ("kilometers", "an", "hour"): "kph",
    ("kilometres", "an", "hour"): "kph", ("meters", "per", "second"): "mps", ("metres", "per", "second"): "mps",
    ("per", "cent"): "percent",
}  # fmt: skip


def find_unit(name: str) -> Unit | None:
    """The unit called `name` in a schema (x-unit) or in speech; None when it is not one with a conversion ("piece", "box")."""
    return _ALIASES.get(name.strip().lower().replace(" ", "_"))


def read_unit(words: Sequence[str], at: int) -> tuple[Unit, int] | None:
    """The unit said at `at`, and the index after it."""
    for length in (3, 2):
        name = _PHRASES.get(tuple(words[at : at + length])) if at + length <= len(words) else None
        if name:
            return _ALIASES[name], at + length
    if at < len(words) and words[at] in _ALIASES and not words[at].isdecimal():
        return _ALIASES[words[at]], at + 1
    return None


def convert(value: Number, said: Unit, wanted: Unit) -> Number | None:
    """`value` of unit `said` in unit `wanted`, to nine decimals; None where the two do not measure the same thing."""
    if said == wanted:
        return value
    if "angle" in (said.dimension, wanted.dimension) and "temperature" in (said.dimension, wanted.dimension):
        return value  # "twenty degrees" on a thermostat is in the thermostat's own unit
    if said.dimension != wanted.dimension:
        return None
    return tidy((value * said.factor + said.offset - wanted.offset) / wanted.factor)

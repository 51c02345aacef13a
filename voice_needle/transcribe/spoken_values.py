"""How values are said: one pattern for each kind of slot that has no closed list of names.

The patterns are as wide as speech is, not as wide as the parameter allows: somebody who asks for a hundred and fifty percent
must be heard to say so, in order that the router can refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPANSIONS: dict[str, str] = {
    "unit": "(one|two|three|four|five|six|seven|eight|nine)",
    "teen": "(ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)",
    "ten": "(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)",
    "below_hundred": "(<unit>|<teen>|<ten>|<ten> <unit>)",
    "hundreds": "(a|<unit>) hundred [[and] <below_hundred>]",
    "below_thousand": "(<below_hundred>|<hundreds>)",
    "integer": "(<below_thousand>|zero)",
    "thousands": "(a|<below_hundred>) thousand [<below_thousand>]",
    "large": "(<below_thousand>|<thousands>|<teen> hundred|zero)",
    "fraction": "(point <unit> [<unit>]|and a half)",
    "number": "(<integer>|<integer> <fraction>|[a] half|zero point <unit> [<unit>])",
    "signed": "(<number>|(minus|negative) <number>)",
    "count": "(<integer>|a|an|a couple of|a few|a dozen|half a dozen)",
    "small": "(<unit>|<teen>|<ten>|<ten> <unit>)",
    "lasting": "(<small>|one|two|five|ten|fifteen|twenty|thirty|forty five)",
    "time_unit": "(second|seconds|minute|minutes|hour|hours)",
    "long_unit": "(day|days|week|weeks)",
    "duration": (
        "((<lasting>|a|an|a couple of|one hundred [and] <ten>) <time_unit> [[and] (<lasting> <time_unit>|a half)]|<small> <long_unit>"
        "|<small> and a half (minutes|hours)|half (an hour|a minute)|[a] half hour|[a|three] (quarter|quarters) of an hour)"
    ),
    "hour": "(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)",
    "minutes_past": "(oh <unit>|<teen>|(twenty|thirty|forty|fifty) [<unit>]|fifteen|thirty|forty five)",
    "part_of_day": "(a m|p m|in the morning|in the afternoon|in the evening|at night|tonight)",
    "time": (
        "(<hour> [(o'clock|<minutes_past>)] [<part_of_day>]|(half past|[a] quarter (past|to|after)) <hour> [<part_of_day>]"
        "|(five|ten|twenty|twenty five) (past|to) <hour> [<part_of_day>]|noon|midnight|midday)"
    ),
    "weekday": "(monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    "month": "(january|february|march|april|may|june|july|august|september|october|november|december)",
    "ordinal": (
        "(first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth"
        "|seventeenth|eighteenth|nineteenth|twentieth|twenty (first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)|thirtieth|thirty first)"
    ),
    "date": (
        "(today|tonight|tomorrow [(morning|afternoon|evening|night)]|the day after tomorrow|[(next|this|on)] <weekday> [(morning|afternoon|evening)]"
        "|[the] <ordinal> [of] <month>|<month> [the] <ordinal>|the <ordinal>|next week|this weekend|in <small> <long_unit>)"
    ),
    "date-time": "(<date> [[at] <time>]|[at] <time> [[on] <date>]|in <duration>)",
    "letter": "(a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q|r|s|t|u|v|w|x|y|z)",
    "spelling": (
        "(alpha|bravo|charlie|delta|echo|foxtrot|golf|hotel|india|juliet|kilo|lima|mike|november|oscar|papa|quebec|romeo|sierra|tango"
        "|uniform|victor|whiskey|yankee|zulu)"
    ),
    "identifier_part": "(<letter>|<spelling>|zero|oh|<unit>|<teen>|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|dash|double)",
}

SHARES: dict[str, tuple[float, ...]] = {
    "teen": (0.3, 0.06, 0.16, 0.05, 0.06, 0.16, 0.06, 0.05, 0.06, 0.04),
    "below_hundred": (0.35, 0.15, 0.35, 0.15),
    "small": (0.28, 0.42, 0.2, 0.1),
    "lasting": (0.4, 0.075, 0.075, 0.075, 0.075, 0.075, 0.075, 0.075, 0.075),
    "below_thousand": (0.9, 0.1),
    "integer": (0.97, 0.03),
    "large": (0.88, 0.06, 0.03, 0.03),
    "number": (0.91, 0.05, 0.02, 0.02),
    "signed": (0.94, 0.06),
}
"""How often each way of an expansion is said, in its order. Round numbers, ten, twelve and fifteen are said more often than their
neighbours (S. Dehaene, J. Mehler, "Cross-linguistic regularities in the frequency of number words", Cognition 43, 1992). The acoustic
model hears "fifty minutes" for "fifteen minutes": with -teens as likely as -ties in a duration, and common lengths named once more in
"lasting" and "minutes_past", 27 of 260 synthetic requests were misread, for 40 with tens in the lead."""

IDENTIFIER_PARTS = 8  # at most, in sentences drawn for the language model

UNIT_WORDS: dict[str, str] = {
    "percent": "percent",
    "celsius": "(degree|degrees) [celsius]",
    "fahrenheit": "(degree|degrees) [fahrenheit]",
    "degree": "(degree|degrees)",
    "second": "(second|seconds)",
    "minute": "(minute|minutes)",
    "hour": "(hour|hours)",
    "piece": "(piece|pieces|unit|units|item|items)",
    "kilometer": "(kilometer|kilometers)",
    "kilometre": "(kilometer|kilometers)",
    "meter": "(meter|meters)",
    "metre": "(meter|meters)",
    "kilogram": "(kilo|kilos|kilogram|kilograms)",
    "gram": "(gram|grams)",
    "milliliter": "(milliliter|milliliters|mil)",
    "liter": "(liter|liters)",
    "volt": "(volt|volts)",
    "watt": "(watt|watts)",
}
"""Words that may follow a number, by x-unit. A unit that is not listed is said as it is written, with and without s."""

EVERYDAY_WORDS = [
    "a",
    "about",
    "after",
    "all",
    "am",
    "and",
    "appointment",
    "are",
    "at",
    "bag",
    "bath",
    "battery",
    "bed",
    "bill",
    "bills",
    "bin",
    "bins",
    "birthday",
    "book",
    "boxes",
    "bread",
    "bring",
    "brother",
    "bus",
    "buy",
    "cake",
    "call",
    "car",
    "cat",
    "change",
    "charge",
    "check",
    "chicken",
    "clean",
    "clothes",
    "coffee",
    "collect",
    "cook",
    "dad",
    "dentist",
    "dinner",
    "doctor",
    "dog",
    "door",
    "drink",
    "eggs",
    "email",
    "exercise",
    "feed",
    "fix",
    "flowers",
    "food",
    "for",
    "friend",
    "from",
    "garbage",
    "garden",
    "get",
    "go",
    "grocery",
    "groceries",
    "gym",
    "home",
    "homework",
    "house",
    "i",
    "in",
    "iron",
    "is",
    "it",
    "job",
    "keys",
    "kids",
    "kitchen",
    "laundry",
    "leave",
    "letter",
    "list",
    "lunch",
    "mail",
    "make",
    "market",
    "me",
    "medicine",
    "meeting",
    "milk",
    "mom",
    "money",
    "morning",
    "mother",
    "my",
    "new",
    "of",
    "off",
    "oil",
    "on",
    "order",
    "our",
    "out",
    "oven",
    "package",
    "paper",
    "parcel",
    "party",
    "pasta",
    "pay",
    "phone",
    "pick",
    "pills",
    "pizza",
    "plants",
    "post",
    "print",
    "put",
    "read",
    "rent",
    "report",
    "return",
    "rice",
    "run",
    "school",
    "send",
    "shirt",
    "shoes",
    "shop",
    "shopping",
    "sister",
    "soup",
    "start",
    "stop",
    "store",
    "take",
    "tea",
    "team",
    "tell",
    "the",
    "things",
    "tickets",
    "time",
    "to",
    "trash",
    "trip",
    "turn",
    "up",
    "visit",
    "wash",
    "washing",
    "water",
    "wife",
    "window",
    "with",
    "work",
    "write",
    "you",
    "your",
]
"""What a free-text parameter (a reminder, a label) is mostly made of, beside the words of the registered tools."""


def value_rule(schema: Mapping[str, Any]) -> str | None:
    """A pattern (over EXPANSIONS) for a parameter's JSON Schema; None for free text.

    Enums are not handled here: their spoken forms are the pattern.
    """
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "string")
    if kind == "boolean":
        return "(on|off|yes|no|true|false|enabled|disabled)"
    if kind in ("integer", "number"):
        return _number_rule(schema, whole=kind == "integer")
    written = schema.get("format")
    if written in ("duration", "time", "date", "date-time"):
        return f"<{written}>"
    if written == "identifier":
        return "<identifier>"
    return None


def _number_rule(schema: Mapping[str, Any], *, whole: bool) -> str:
    unit = str(schema.get("x-unit", "")).lower()
    maximum = schema.get("maximum")
    signed = unit in ("celsius", "fahrenheit") or (
        isinstance(schema.get("minimum"), int | float) and schema["minimum"] < 0
    )
    if isinstance(maximum, int | float) and maximum > 999:
        number = "<large>"
    elif signed:
        number = "<signed>"
    else:
        number = "<integer>" if whole else "<number>"
    if not unit:
        return number
    said = UNIT_WORDS.get(unit, f"({unit}|{unit}s)".replace("_", " "))
    return f"{number} [{said}]"

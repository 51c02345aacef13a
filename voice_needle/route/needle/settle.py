"""From what a generating model wrote to calls that the words support, or to a question, or to nothing.

A model that writes text can write a value that nobody said. So every number must be among the readings of the words (in the parameter's
own unit), every time and date is read again from its words by the one clock, and every list item and open string must have been said; the gate
checks open strings once more. Enums and booleans may be inferred ("kill the lights"): their values come from the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voice_needle.events import Call, Decision, Outcome, Question, RouteContext
from voice_needle.route.amounts import Parsed, Problem, check_bounds
from voice_needle.route.fill import ask_for, complete_call
from voice_needle.route.needle.grammar import CALLS, DIGITS, ITEMS, STRING
from voice_needle.route.numbers import read_number, tokenize
from voice_needle.route.phrases import without_fillers
from voice_needle.route.schemas import is_open, resolved
from voice_needle.route.values import parse_value
from voice_needle.tools import Tool

LONGEST_TEXT, _LONGEST_SPAN = 80, 9  # words


def settled(
    proposed: Sequence[tuple[str, Mapping[str, Any]]],
    text: str,
    tools: Mapping[str, Tool],
    context: RouteContext,
    confidence: float,
) -> Decision:
    """The decision for proposed (tool, arguments) pairs. confidence: of the proposal, 0 to 1."""
    if not proposed:
        return Decision(reason="no tool fits", confidence=confidence)
    words = without_fillers(tokenize(text))
    if len(words) > LONGEST_TEXT:
        return Decision(reason="too long", confidence=1.0)
    if len(proposed) >= CALLS:
        return Decision(reason="cut short: too many calls", confidence=confidence)
    calls: list[Call] = []
    question: Question | None = None
    for name, arguments in proposed:
        tool = tools.get(name)
        if tool is None:
            return Decision(reason=f"no such tool: {name}", confidence=confidence)
        values: dict[str, Any] = {}
        evidence: dict[str, str] = {}
        for key, value in arguments.items():
            schema = tool.properties.get(key)
            if not isinstance(schema, Mapping):
                return Decision(reason=f"no such parameter: {name}.{key}", confidence=confidence)
            if overlong(value):
                return Decision(reason=f"cut short: {name}.{key}", confidence=confidence)
            found = supported(value, schema, words, context)
            if isinstance(found, Problem):
                if found.kind == "missing":
                    return Decision(reason=f"nobody said {name}.{key}", confidence=confidence)
                question = question or ask_for(tool, key, found)
                continue
            values[key], evidence[key] = found.value, found.evidence
        call, missing = complete_call(tool, values, evidence, context)
        question = question or missing
        calls.append(call)
    if question is not None:
        return Decision(tuple(calls), Outcome.ASK, confidence, question, complete=question.kind != "missing")
    return Decision(tuple(calls), Outcome.ACT, confidence, reason="needle")


def overlong(value: Any) -> bool:
    """Whether a value reached a bound of the grammar, and so may have been cut."""
    if isinstance(value, str):
        return len(value.encode()) >= STRING - 5 or len(str(value.encode("unicode_escape"))) >= STRING
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, (int, float)):
        return sum(char.isdecimal() for char in repr(value)) >= DIGITS
    if isinstance(value, Mapping):
        return any(map(overlong, value.values()))
    return len(value) >= ITEMS or any(map(overlong, value))


def supported(value: Any, schema: Mapping[str, Any], words: Sequence[str], context: RouteContext) -> Parsed | Problem:
    """The value with the words that support it. Problem: "missing" where nobody said it; else what to ask about."""
    schema = resolved(schema)
    if isinstance(value, bool) or value is None or "enum" in schema or "const" in schema:
        return Parsed(value, "")
    if isinstance(value, (int, float)):
        return _number(value, schema, words, context)
    if isinstance(value, str):
        if is_open(schema) or not (schema.get("format") or schema.get("pattern")):
            return Parsed(value, value) if _place(tokenize(value), words) else Problem("missing")
        return _formatted(value, schema, words, context)
    if isinstance(value, Mapping):
        properties = schema.get("properties")
        inner = properties if isinstance(properties, Mapping) else {}
        parts = {key: supported(each, inner.get(key, {}), words, context) for key, each in value.items()}
        bad = next((each for each in parts.values() if isinstance(each, Problem)), None)
        return bad or Parsed({key: each.value for key, each in parts.items() if isinstance(each, Parsed)}, "")
    items = schema.get("items")
    found = [supported(each, items if isinstance(items, Mapping) else {}, words, context) for each in value]
    problem = next((each for each in found if isinstance(each, Problem)), None)
    return problem or Parsed([each.value for each in found if isinstance(each, Parsed)], "")


def _number(value: float, schema: Mapping[str, Any], words: Sequence[str], context: RouteContext) -> Parsed | Problem:
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    free = {key: each for key, each in schema.items() if key not in bounds}
    for span in _spans(words):
        found = parse_value(span, free, context)
        if isinstance(found, Parsed) and found.value == value and not _piece_of_another(span.split(), words):
            if not check_bounds(found.value, schema):
                limits = (schema.get(key) for key in bounds[:4])
                return Problem("out_of_range", span, tuple(str(each) for each in limits if each is not None))
            return Parsed(found.value, span)
    return Problem("missing")


def _piece_of_another(part: Sequence[str], words: Sequence[str]) -> bool:
    """Whether, wherever it stands, the span is only a piece of a longer number: "five" of "minus five", "twenty five", "five hundred"."""
    for at in range(len(words) - len(part) + 1):
        if list(words[at : at + len(part)]) != list(part):
            continue
        before, after = words[at - 1 : at] if at else (), words[at + len(part) : at + len(part) + 1]
        whole = read_number(part)
        longer = [read_number([*before, *part])] if before and whole and before[0] not in _ARTICLES else []
        longer += [read_number([*part, *after])] if after and whole else []
        if tuple(before) in (("minus",), ("negative",)) or any(
            each and whole and each[1] > whole[1] for each in longer
        ):
            continue
        return False
    return True


_ARTICLES = ("a", "an", "the", "and")


def _formatted(value: str, schema: Mapping[str, Any], words: Sequence[str], context: RouteContext) -> Parsed | Problem:
    """A time, date, duration, identifier or patterned string: read from the words that the model copied, or from any that say the same."""
    if _place(tokenize(value), words):
        found = parse_value(value, schema, context)
        if isinstance(found, Parsed) or found.kind in ("ambiguous", "out_of_range"):
            return found
    for span in _spans(words):
        found = parse_value(span, schema, context)
        if isinstance(found, Parsed) and found.value == value:
            return found
    return Problem("missing")


def _place(part: Sequence[str], words: Sequence[str]) -> bool:
    wanted = list(without_fillers(part))
    return bool(wanted) and any(list(words[at : at + len(wanted)]) == wanted for at in range(len(words)))


def _spans(words: Sequence[str]) -> Iterator[str]:
    """Every run of up to nine words, the longest first."""
    for size in range(min(_LONGEST_SPAN, len(words)), 0, -1):
        for at in range(len(words) - size + 1):
            yield " ".join(words[at : at + size])

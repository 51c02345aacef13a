"""The router's metrics, in the words of the data's README: shares of lines and calls, with 95 % intervals.

norm(value): lower case, punctuation stripped, spaces collapsed, number words to digits, a leading article dropped.
Scored as said (tool accuracy, argument F1, exact match, refusal, chained success): the calls of a decision that acts or asks for
confirmation; a question proposes nothing. Executed: only the calls of a decision that acts. Where a line accepts several values
for an argument, any of them counts, and "" among them means that the argument may be absent.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voice_needle.route.numbers import read_number, tokenize

_PUNCTUATION = re.compile(r"[^\w\s.:/-]|(?<!\d)[.:/-]|[.:/-](?!\d)")
_ARTICLES = ("the", "a", "an")
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Answer:
    """One expected call: argument -> accepted values, normalised. optional: arguments that may be absent."""

    tool: str
    accepted: Mapping[str, frozenset[str]]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Line:
    """One line of a file: what was expected, what was proposed, and what would have been executed."""

    expected: tuple[Answer, ...]
    proposed: tuple[tuple[str, Mapping[str, str]], ...]  # (tool, {argument: norm(value)}) in order
    executes: bool
    elapsed_ms: float


def norm(value: Any) -> str:
    """The form in which two values are compared. Lists and objects: of their parts, in order."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if abs(value) < 1e15 else str(value)
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}={norm(inner)}" for key, inner in sorted(value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(norm(inner) for inner in value) + "]"
    text = _PUNCTUATION.sub(" ", str(value).lower().replace("_", " "))
    words = _digits(tokenize(text)) if text.isascii() else text.split()
    if len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    return " ".join(words)


def _digits(words: list[str]) -> list[str]:
    """`words` with number words as digits: "half past twenty two" keeps its half."""
    out: list[str] = []
    at = 0
    while at < len(words):
        found = read_number(words, at) if words[at] not in ("a", "an", "half", "quarter", "point") else None
        if found is None or found[1] == at:
            out.append(words[at])
            at += 1
        else:
            out.append(f"{found[0]:g}" if abs(found[0]) < 1e6 else str(found[0]))
            at = found[1]
    return out


def read_answer(call: Mapping[str, Any], *, lists: bool) -> Answer:
    """An expected call of a file. lists: each argument is a list of accepted values."""
    accepted: dict[str, frozenset[str]] = {}
    optional = set()
    for name, value in (call.get("arguments") or {}).items():
        values = value if lists and isinstance(value, list) else [value]
        if lists and any(v == "" for v in values):
            optional.add(name)
        accepted[name] = frozenset(form for v in values if v != "" or not lists for form in _forms(v, lists))
    return Answer(str(call["name"]), accepted, frozenset(optional))


def _forms(value: Any, lists: bool) -> set[str]:
    """norm(value), and for an accepted object whose own values are lists of accepted ones, each plain choice of them."""
    if lists and isinstance(value, Mapping) and all(isinstance(v, list) for v in value.values()):
        plain: list[dict[str, Any]] = [{}]
        for key, choices in value.items():
            plain = [
                {**chosen, **({} if choice == "" else {key: choice})} for chosen in plain for choice in choices[:4]
            ][:64]
        return {norm(chosen) for chosen in plain}
    return {norm(value)}


def matches(answer: Answer, tool: str, arguments: Mapping[str, str]) -> bool:
    """Whether a proposed call is the expected one: every argument accepted, none missing, none too many."""
    if answer.tool != tool or any(name not in answer.accepted for name in arguments):
        return False
    return all(
        arguments[name] in values if name in arguments else name in answer.optional
        for name, values in answer.accepted.items()
    )


def pair_up(line: Line) -> int:
    """How many proposed calls are right, each expected call counted once (greedy; equal calls are interchangeable)."""
    left = list(line.expected)
    right = 0
    for tool, arguments in line.proposed:
        found = next((a for a in left if matches(a, tool, arguments)), None)
        if found is not None:
            left.remove(found)
            right += 1
    return right


def exact(line: Line) -> bool:
    """Whether the multiset of whole calls is right."""
    return len(line.proposed) == len(line.expected) == pair_up(line)


def in_order(line: Line) -> bool:
    """Whether the calls are right and in spoken order."""
    return len(line.proposed) == len(line.expected) and all(
        matches(a, *p) for a, p in zip(line.expected, line.proposed, strict=True)
    )


def tools_right(line: Line) -> bool:
    """Whether the multiset of tool names is right."""
    return Counter(a.tool for a in line.expected) == Counter(tool for tool, _ in line.proposed)


def argument_counts(line: Line) -> tuple[int, int, int]:
    """(right, proposed, expected) triples of tool, argument and value. An absent optional argument is not expected."""
    left = list(line.expected)
    right = proposed = expected = 0
    for tool, arguments in line.proposed:
        same = [a for a in left if a.tool == tool]
        best = max(same, key=lambda a: _hits(a, arguments), default=None)
        proposed += len(arguments)
        if best is not None:
            left.remove(best)
            right += _hits(best, arguments)
            expected += sum(name in arguments or name not in best.optional for name in best.accepted)
    expected += sum(len(set(a.accepted) - a.optional) for a in left)
    return right, proposed, expected


def _hits(answer: Answer, arguments: Mapping[str, str]) -> int:
    return sum(value in answer.accepted.get(name, ()) for name, value in arguments.items())


# --- over many lines -------------------------------------------------------------------------------------------------


def wilson(right: float, n: int) -> list[float] | None:
    """Wilson's score interval at 95 % for `right` of `n`. (Wilson, 1927)"""
    if n == 0:
        return None
    p, z2 = right / n, Z95 * Z95
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def _share(right: float, n: int) -> float | None:
    return round(right / n, 4) if n else None


def f1_interval(counts: Sequence[tuple[int, int, int]]) -> list[float] | None:
    """95 % interval of micro F1 by the delta method over lines: F1 = 2 sum(right) / sum(proposed + expected) is a ratio."""
    total = sum(p + e for _, p, e in counts)
    if total == 0 or len(counts) < 2:
        return None
    f1 = 2 * sum(r for r, _, _ in counts) / total
    spread = sum((2 * r - f1 * (p + e)) ** 2 for r, p, e in counts)
    half = Z95 * math.sqrt(spread * len(counts) / (len(counts) - 1)) / total
    return [round(max(0.0, f1 - half), 4), round(min(1.0, f1 + half), 4)]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, in the unit of `values`, to three decimals."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))], 3)


def summarise(lines: Sequence[Line]) -> dict[str, Any]:
    """The object M of the data's README: shares 0 to 1 (4 decimals), None where undefined, times in milliseconds."""
    n = len(lines)
    servable = [line for line in lines if line.expected]
    chains = [line for line in lines if len(line.expected) > 1]
    refused = [line for line in lines if not line.proposed]
    rightly_refused = sum(not line.expected for line in refused)
    unservable = n - len(servable)
    acted = [line for line in lines if line.executes]
    executed = sum(len(line.proposed) for line in acted)
    wrong = executed - sum(pair_up(line) for line in acted)
    covered = sum(line.executes for line in servable)
    counts = [argument_counts(line) for line in lines]
    triples = sum(p + e for _, p, e in counts)
    shares: dict[str, tuple[float, int]] = {
        "tool_accuracy": (sum(map(tools_right, lines)), n),
        "exact_match": (sum(map(exact, lines)), n),
        "refusal_precision": (rightly_refused, len(refused)),
        "refusal_recall": (rightly_refused, unservable),
        "wrong_executed": (wrong, executed),
        "coverage": (covered, len(servable)),
        "chained_success": (sum(map(in_order, chains)), len(chains)),
    }
    values = {name: _share(*share) for name, share in shares.items()}
    ci95 = {name: wilson(*share) for name, share in shares.items()}
    times = [line.elapsed_ms for line in lines]
    return {
        "n": n,
        "tool_accuracy": values["tool_accuracy"],
        "argument_f1": _share(2 * sum(r for r, _, _ in counts), triples),
        "exact_match": values["exact_match"],
        "refusal_precision": values["refusal_precision"],
        "refusal_recall": values["refusal_recall"],
        "executed": executed,
        "wrong_executed": values["wrong_executed"],
        "coverage": values["coverage"],
        "chained_success": values["chained_success"],
        "ci95": {**ci95, "argument_f1": f1_interval(counts)},
        "ms_p50": percentile(times, 0.50),
        "ms_p95": percentile(times, 0.95),
    }

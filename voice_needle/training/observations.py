"""What the router would do about each of many examples, and whether that is right: what confidence is fitted and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_needle.evaluation.metrics import Line, norm, pair_up, read_answer
from voice_needle.evaluation.router import label, rows
from voice_needle.events import Call, Decision, Outcome, RouteContext
from voice_needle.route import guards
from voice_needle.route.gate import broken
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Tool, Toolset
from voice_needle.training.examples import Answer, Example

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
FITTED_EVERY = 5  # of a public development file, the lines that confidence is fitted on
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """One decision on one example. wrong, calls: of those that would be executed. servable: something was to be done. source: the example's."""

    features: Numbers
    acts: bool
    right: bool
    calls: int
    wrong: int
    servable: bool
    asks: bool
    kind: str
    text: str = ""
    said: str = ""
    source: str = ""


def same_call(call: Call, answer: Answer, example: Example | None = None) -> bool:
    """Whether a call is the expected one. Values that only a declared default gave do not count against it.

    example: a parameter that its schema calls a plain string may also hold the words, whatever the label makes of them.
    """
    if call.tool != answer.tool:
        return False
    given = {name: norm(value) for name, value in call.arguments.items() if call.evidence.get(name) != "default"}
    right = {name: norm(value.value) for name, value in answer.arguments.items()}
    if example is not None and given.keys() == right.keys():
        tool = next(tool for tool in example.tools if tool["name"] == answer.tool)
        for name, schema in tool["parameters"].get("properties", {}).items():
            plain = schema.get("type") == "string" and not schema.keys() & {"format", "enum"}
            if plain and name in right and given[name] == norm(example.words(answer.arguments[name])):
                right[name] = given[name]
    return given == right


def observe(router: StitchRouter, examples: Sequence[Example], now: datetime = NOW, *, guarded: bool = True) -> list[Observation]:
    """What the router would do about each example if it were always sure, behind its guards. Dialogue acts are left out."""
    context = RouteContext(now=now)
    found = []
    for example in examples:
        tools = offered(example)
        if any(answer.tool.startswith("dialogue.") for answer in example.answers) or example.loss != "all":
            continue
        decision, reading = router.observed(example.text, tools, context)
        if reading is None:
            continue
        decision = guards.check(example.text, decision, tools) if guarded else decision
        acts = decision.outcome is Outcome.ACT and not any(broken(call, tools, example.text, context) for call in decision.calls)
        found.append(_judged(example, decision, acts, np.asarray(reading.features, dtype=np.float64)))
    return found


def offered(example: Example) -> Toolset:
    """Its tools, without the dialogue acts."""
    return Toolset([tool for tool in example.tools if not tool["name"].startswith("dialogue.")])


def matched(calls: Sequence[Call], example: Example) -> int:
    """How many of the expected calls are among these, each once."""
    left = list(example.answers)
    for call in calls:
        match = next((answer for answer in left if same_call(call, answer, example)), None)
        if match is not None:
            left.remove(match)
    return len(example.answers) - len(left)


def _judged(example: Example, decision: Decision, acts: bool, row: Numbers) -> Observation:
    calls = decision.calls if acts else ()
    good = matched(calls, example)
    right = good == len(calls) == len(example.answers)
    said = f"{decision.outcome.value} {[(call.tool, dict(call.arguments)) for call in decision.calls]} {decision.reason}"
    return Observation(row, acts, right, len(calls), len(calls) - good, bool(example.answers),
                       decision.outcome is Outcome.ASK, example.kind, example.text, said, example.source)


def observe_file(router: StitchRouter, path: Path, every: int = FITTED_EVERY, now: datetime = NOW) -> list[Observation]:
    """The same for every so-manieth line of a public development file, whose values count as the benchmark counts them."""
    context = RouteContext(now=now)
    found = []
    for number, row in rows(path):
        if number % every:
            continue
        lists = bool((row.get("meta") or {}).get("accepted_value_lists"))
        tools = Toolset(Tool.from_schema(tool) for tool in row["tools"])
        expected = tuple(read_answer(answer, lists=lists) for answer in row["answers"])
        decision, reading = router.observed(row["query"], tools, context)
        if reading is None or decision.act is not None:
            continue
        decision = guards.check(row["query"], decision, tools)
        acts = decision.outcome is Outcome.ACT and not any(broken(call, tools, row["query"], context) for call in decision.calls)
        calls = tuple((call.tool, {name: norm(value) for name, value in call.arguments.items()}) for call in (decision.calls if acts else ()))
        good = pair_up(Line(expected, calls, acts, 0.0))
        found.append(Observation(np.asarray(reading.features, dtype=np.float64), acts, good == len(calls) == len(expected), len(calls),
                                 len(calls) - good, bool(expected), decision.outcome is Outcome.ASK, label(path), row["query"]))  # fmt: skip
    return found

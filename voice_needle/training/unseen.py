"""What a router is worth on domains that no training saw, and on the same requests with more and more tools on offer.

`voice-needle eval unseen`. Neither the network nor its confidence was fitted on these domains, but they are by the hand that wrote
the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from voice_needle.evaluation.metrics import wilson
from voice_needle.events import Outcome, RouteContext, Transcript
from voice_needle.route.engine import Router
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.training.examples import Example
from voice_needle.training.heldout import COUNTS, measured_sets
from voice_needle.training.measure import measure
from voice_needle.training.observations import NOW, matched, observe, offered
from voice_needle.training.readers import DEFAULT_DATA

DOMAINS = "held_out_domains"
COLUMNS = ("exact_proposed", "exact_if_always_sure", "exact", "coverage", "wrong_executed", "refusal_recall", "ece")
Progress = Callable[[str, int, int], None]


def evaluate_unseen(
    baselines: Sequence[Router],
    size: int = 1200,
    data: Path = DEFAULT_DATA,
    plots: Path | None = None,
    progress: Progress = lambda name, done, of: None,
) -> dict[str, Any]:
    """{"stitch": {set: what `measure.measure` finds}, baseline: {set: the same, where it can be told}}.

    size: of the corpus that is drawn; 1200 is what published figures were measured on. plots: a folder for the curves of confidence.
    Errors: TrainingDataMissing, ModelMissing.
    """
    names = (DOMAINS, *(f"tools_{count}" for count in COUNTS))
    sets = measured_sets(size, data)
    router = StitchRouter()
    report: dict[str, Any] = {"size": size, "stitch": {}, **{each.name: {} for each in baselines}}
    for done, name in enumerate(names):
        progress(name, done, len(names))
        report["stitch"][name] = measure(router, observe(router, sets[name]), plots if name == DOMAINS else None, name)
        for each in baselines:
            report[each.name][name] = routed(each, sets[name])
        for found in (report["stitch"][name], *(report[each.name][name] for each in baselines)):
            found["ci95"] = _intervals(found)
    return report


def routed(router: Router, examples: Sequence[Example]) -> dict[str, Any]:
    """What any router does about each example: as `measure.measure`, without what only a confidence can tell."""
    n = right = exact = servable = held = refused = calls = wrong = 0
    for example in examples:
        tools = offered(example)
        router.prepare(tools)
        decision = router.route(Transcript(example.text), tools, RouteContext(now=NOW))
        proposed = decision.calls if decision.outcome in (Outcome.ACT, Outcome.CONFIRM) else ()
        good = matched(proposed, example)
        whole = bool(proposed) and good == len(proposed) == len(example.answers)
        goes = bool(proposed) and decision.outcome is Outcome.ACT
        n, servable = n + 1, servable + bool(example.answers)
        right += whole if proposed else not example.answers
        exact += whole if goes else not example.answers
        held += goes and bool(example.answers)
        refused += not goes and not example.answers
        if goes:
            calls, wrong = calls + len(proposed), wrong + len(proposed) - good
    return {
        "n": n, "servable": servable, "exact_if_always_sure": right / max(1, n), "exact_proposed": right / max(1, n), "exact": exact / max(1, n), "coverage": held / max(1, servable),
        "executed": calls, "wrong_executed": wrong / calls if calls else None, "refusal_recall": refused / max(1, n - servable), "ece": None,
    }  # fmt: skip


def _intervals(found: Mapping[str, Any]) -> dict[str, list[float] | None]:
    """95 % intervals (Wilson) of the shares; a share's whole is the examples, those that can be served, those that cannot, or the calls."""
    servable = found["servable"]
    wholes = {
        "exact_if_always_sure": found["n"], "exact_proposed": found["n"], "exact": found["n"], "coverage": servable,
        "refusal_recall": found["n"] - servable,
        "wrong_executed": found["executed"],
    }  # fmt: skip
    return {
        name: wilson(round(found[name] * whole), whole) if whole and found[name] is not None else None
        for name, whole in wholes.items()
    }


def tables(report: Mapping[str, Any]) -> tuple[Table, Table]:
    """For a screen: all metrics of the routers side by side, and how often they are exactly right with few and many tools on offer."""
    routers = [name for name in report if name != "size"]
    whole = Table(title="domains that no training saw, per cent (95 % intervals)")
    counts = Table(title="exact, of what is proposed, by number of tools on offer")
    for shown, first, headings in ((whole, "", routers), (counts, "router", [f"{count} tools" for count in COUNTS])):
        shown.add_column(first)
        for heading in headings:
            shown.add_column(heading, justify="right")
    for metric in COLUMNS:
        whole.add_row(metric.replace("_", " "), *(_cell(report[name][DOMAINS], metric) for name in routers))
    for metric in ("n", "executed"):
        whole.add_row(metric, *(str(report[name][DOMAINS][metric]) for name in routers))
    for name in routers:
        counts.add_row(name, *(_cell(report[name][f"tools_{count}"], COLUMNS[0]) for count in COUNTS))
    return whole, counts


def _cell(found: Mapping[str, Any], metric: str) -> str:
    if found[metric] is None:
        return "-"
    bounds = found["ci95"].get(metric)
    return f"{100 * found[metric]:.1f}" + (f" [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]" if bounds else "")

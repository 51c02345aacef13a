"""Fits Stitch's confidence on held-out data, chooses thresholds from a target rate of wrong actions, and draws both.

Boosted trees over the network's margins say how likely a decision to act is right (a logistic regression for declines), an isotonic
curve makes that a share; thresholds are the smallest at which the wrong calls among those executed stay under each risk's target.
Curve and thresholds come from trees that did not see the example (five folds).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_needle.errors import EngineMissing
from voice_needle.evaluation.metrics import Line, norm, pair_up, read_answer
from voice_needle.evaluation.router import label, rows
from voice_needle.events import Call, Decision, Outcome, RouteContext
from voice_needle.route import guards
from voice_needle.route.gate import broken
from voice_needle.route.stitch.confidence import FEATURES, Curve, Prior, Trees
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Risk, Tool, Toolset
from voice_needle.training.examples import Answer, Example

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
TARGETS: Mapping[Risk, float] = {Risk.LOW: 0.035, Risk.MEDIUM: 0.025, Risk.HIGH: 0.01}
CONFIRM: Mapping[Risk, float] = {Risk.LOW: 0.25, Risk.MEDIUM: 0.40, Risk.HIGH: 0.60}
FITTED_EVERY = 5  # of a public development file, the lines that confidence is fitted on
FLOORS = (0.0, -0.5, -1.0, -1.5)  # tried for `given`
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


# --- fitting ---------------------------------------------------------------------------------------------------------


def logistic(x: Numbers, y: Numbers, penalty: float = 1.0, rounds: int = 60) -> tuple[Numbers, Numbers, Numbers, float]:
    """Mean, scale, weights and bias by Newton's method. x: (n, f); y: (n,) 0 or 1."""
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    design = np.concatenate([(x - mean) / scale, np.ones((len(x), 1))], axis=1)
    ridge = np.diag([penalty] * x.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (p - y) + ridge @ weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + ridge
        change = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(change, -2, 2)
        if np.abs(change).max() < 1e-6:
            break
    return mean, scale, weights[:-1], float(weights[-1])


def isotonic(scores: Numbers, y: Numbers, smallest: int = 25) -> tuple[list[float], list[float]]:
    """Pool-adjacent-violators over blocks of at least `smallest`: points of a rising curve, ends included."""
    order = np.argsort(scores)
    blocks: list[list[float]] = []  # sum of y, count, sum of scores
    for part in np.array_split(order, max(1, len(order) // smallest)):
        blocks.append([float(y[part].sum()), float(len(part)), float(scores[part].sum())])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    x = [block[2] / block[1] for block in blocks]
    shares = [(block[0] + 0.5) / (block[1] + 1.0) for block in blocks]
    rising = list(np.maximum.accumulate(shares))
    return [0.0, *x, 1.0], [max(0.0, rising[0] * 0.5), *rising, (1 + rising[-1]) / 2]


def fit_curve(observations: Sequence[Observation], seed: int = 0) -> Curve:
    """Probability of being right, from the features."""
    mixed = list(observations)
    random.Random(seed).shuffle(mixed)
    x, y = np.stack([item.features for item in mixed]), np.array([float(item.right) for item in mixed])
    half = len(mixed) // 2
    mean, scale, weights, bias = logistic(x[:half], y[:half], penalty=4.0)
    plain = Curve(mean.tolist(), scale.tolist(), weights.tolist(), bias)
    scores = np.array([plain(row.astype(np.float32)) for row in x[half:]])
    curve_x, curve_y = isotonic(scores, y[half:])
    return Curve(plain.mean, plain.scale, plain.weights, plain.bias, curve_x, [float(value) for value in curve_y])


def fit_trees(observations: Sequence[Observation], seed: int = 0) -> tuple[Curve, Numbers]:
    """The same by gradient-boosted trees (Friedman 2001), and each observation's probability from trees that did not see it.

    Where a wrong call comes from differs between toolsets: what a sure span is worth depends on how sure the tool is. One line
    through all features cannot say that. Errors: EngineMissing without scikit-learn.
    """
    try:
        from sklearn.ensemble import GradientBoostingClassifier
        from sklearn.model_selection import KFold
    except ImportError as problem:
        raise EngineMissing("calibration needs scikit-learn", fix='pip install "voice-needle[train]"') from problem
    x, y = np.stack([item.features for item in observations]), np.array([float(item.right) for item in observations])
    if min(y.sum(), (1 - y).sum()) < 10:  # nothing to tell apart
        plain = fit_curve(observations, seed)
        return plain, np.array([plain(row.astype(np.float32)) for row in x])

    def grown(rows: Numbers, labels: Numbers) -> Any:
        return GradientBoostingClassifier(
            n_estimators=150, max_depth=3, learning_rate=0.05, subsample=0.7, min_samples_leaf=10, random_state=seed
        ).fit(rows, labels)

    aside = np.zeros(len(y))
    for kept, left in KFold(5, shuffle=True, random_state=seed).split(x):
        if len(set(y[kept])) == 2:
            aside[left] = grown(x[kept], y[kept]).predict_proba(x[left])[:, 1]
    curve_x, curve_y = isotonic(aside, y)
    trees = _complete(grown(x, y))
    width = x.shape[1]
    curve = Curve([0.0] * width, [1.0] * width, [0.0] * width, 0.0, curve_x, [float(value) for value in curve_y], trees)
    return curve, np.interp(aside, curve_x, curve_y)


def _complete(model: Any) -> Trees:
    """scikit-learn's trees as complete ones: where a branch ends early, all that hangs below it says the same."""
    feature, threshold, value = [], [], []
    for (estimator,) in model.estimators_:
        tree = estimator.tree_
        nodes, row_feature, row_threshold = [0], [], []
        for place in range(7):
            node = nodes[place]
            leaf = tree.children_left[node] < 0
            row_feature.append(0 if leaf else int(tree.feature[node]))
            row_threshold.append(0.0 if leaf else round(float(tree.threshold[node]), 7))
            nodes += [node, node] if leaf else [int(tree.children_left[node]), int(tree.children_right[node])]
        feature.append(row_feature)
        threshold.append(row_threshold)
        value.append([round(float(tree.value[node].ravel()[0]) * model.learning_rate, 6) for node in nodes[7:]])
    share = float(model.init_.class_prior_[1])
    return Trees(feature, threshold, value, math.log(share / (1.0 - share)))


def fit_prior(router: StitchRouter, examples: Sequence[Example]) -> Prior:
    """How much the words that a tool shares with an utterance should count beside the network, for tools it never saw."""
    rows, labels = [], []
    for example in examples:
        tools = Toolset([tool for tool in example.tools if not tool["name"].startswith("dialogue.")])
        pieces = router.network.pieces.utterance(example.text)
        if example.loss != "all" or not len(tools) or any(item.tool not in tools for item in example.answers):
            continue
        index, selected, support = router.observe_tools(example.text, pieces, tools)
        if selected is None:
            continue
        right = {answer.tool for answer in example.answers}
        for name, logit, held in zip(index, selected.present, support, strict=True):
            if name in tools:
                rows.append([logit, *held])
                labels.append(float(name in right))
    mean, scale, weights, bias = logistic(np.array(rows, dtype=np.float64), np.array(labels), penalty=3.0)
    slopes = weights / scale
    return Prior(float(slopes[0]), [float(value) for value in slopes[1:]], float(bias - slopes @ mean))


def best_floor(router: StitchRouter, examples: Sequence[Example]) -> float:
    """The logit from which a parameter counts as given, where most decisions are right."""
    found = []
    for floor in FLOORS:
        router.calibration = replace(router.calibration, given=floor)
        found.append((sum(item.right for item in observe(router, examples)), floor))
    return max(found)[1]


def threshold(confidence: Numbers, observations: Sequence[Observation], target: float) -> float:
    """The smallest confidence from which the calls executed are wrong at most at the target rate; 0.99 where none is."""
    order = np.argsort(-confidence, kind="stable")
    calls = np.cumsum([observations[number].calls for number in order])
    wrong = np.cumsum([observations[number].wrong for number in order])
    fits = np.flatnonzero((wrong + 0.5 <= target * (calls + 1.0)) & (calls >= 30))
    return float(min(0.99, confidence[order[fits[-1]]])) if len(fits) else 0.99


def careful_threshold(confidence: Numbers, observations: Sequence[Observation], target: float, apart: str) -> float:
    """`threshold`, and no smaller than either the source `apart` or all the others need by themselves.

    Of tools that were learnt nearly all is right: together with them, the others would be executed at any price.
    """
    mine = np.array([item.source == apart for item in observations])
    found = [threshold(confidence, observations, target)]
    for part in (mine, ~mine) if apart else ():
        chosen = [item for item, inside in zip(observations, part, strict=True) if inside]
        if sum(item.calls for item in chosen) >= 30:
            found.append(threshold(confidence[part], chosen, target))
    return max(found)


def calibrate(folder: Path, examples: Sequence[Example], seed: int = 0, files: Sequence[Path] = (), apart: str = "") -> dict[str, Any]:
    """Fit on `examples`, which training never saw, and write calibration.json beside the weights. Returns what was written.

    apart: a source of examples that must not carry the others over the threshold.
    files: public development files, of which every FITTED_EVERY-th line is fitted on as well: what strangers write.
    """
    (folder / "calibration.json").unlink(missing_ok=True)
    router = StitchRouter(folder)
    prior = fit_prior(router, examples)
    router.calibration = replace(router.calibration, prior=prior)
    given = best_floor(router, examples[::4])
    router.calibration = replace(router.calibration, given=given)
    seen = observe(router, examples) + [item for path in files for item in observe_file(router, path)]
    acting, resting = [item for item in seen if item.acts], [item for item in seen if not item.acts]
    # Of what is not done the question is whether anything was to be done; a question is sure of itself where a decline is not.
    act, confidence = fit_trees(acting, seed)
    decline = fit_curve([replace(item, right=not item.servable) for item in resting], seed)
    thresholds = {
        "act": {risk.value: round(careful_threshold(confidence, acting, target, apart), 3) for risk, target in TARGETS.items()},
        "confirm": {risk.value: value for risk, value in CONFIRM.items()},
    }
    for risk in TARGETS:
        thresholds["confirm"][risk.value] = min(thresholds["confirm"][risk.value], thresholds["act"][risk.value])
    record = {
        "features": list(FEATURES), "act": asdict(act), "decline": asdict(decline), "prior": asdict(prior), "given": given, "thresholds": thresholds,
        "about": {"examples": len(seen), "acting": len(acting), "targets": {risk.value: value for risk, value in TARGETS.items()}},
    }  # fmt: skip
    (folder / "calibration.json").write_text(json.dumps(record) + "\n")
    return record


# --- measuring -------------------------------------------------------------------------------------------------------


def confidences(router: StitchRouter, observations: Sequence[Observation]) -> Numbers:
    """The router's calibrated confidence in each decision."""
    act, decline = router.calibration.act, router.calibration.decline

    def one(item: Observation) -> float:
        row = item.features.astype(np.float32)
        return act(row) if item.acts else 1.0 - decline(row) if item.asks else decline(row)

    return np.array([one(item) for item in observations])


def expected_error(confidence: Numbers, right: Numbers, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean gap between confidence and share right, by bins of equal width."""
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[where == n].mean() - right[where == n].mean()) * (where == n).mean() for n in range(bins) if (where == n).any()]
    return float(sum(gaps))


def measure(router: StitchRouter, observations: Sequence[Observation], plots: Path | None = None, name: str = "held_out") -> dict[str, Any]:
    """Exact, refusals, coverage and wrong/executed at the low-risk threshold, ECE; with PNGs in the folder `plots`."""
    confidence = confidences(router, observations)
    right = np.array([float(item.right if item.acts else item.servable == item.asks) for item in observations])
    at = router.thresholds.act[Risk.LOW]
    goes = [item.acts and sure >= at for item, sure in zip(observations, confidence, strict=True)]
    servable = [item.servable for item in observations]
    calls = sum(item.calls for item, go in zip(observations, goes, strict=True) if go)
    wrong = sum(item.wrong for item, go in zip(observations, goes, strict=True) if go)
    held = sum(go for go, can in zip(goes, servable, strict=True) if can)
    refused = sum(not go for go, can in zip(goes, servable, strict=True) if not can)
    exact = sum((item.right if go else not item.servable) for item, go in zip(observations, goes, strict=True))
    record = {
        "n": len(observations), "servable": sum(servable), "exact_if_always_sure": sum(item.right for item in observations) / len(observations), "exact": float(exact) / len(observations),
        "refusal_recall": float(refused) / max(1, servable.count(False)), "coverage": float(held / max(1, sum(servable))),
        "executed": calls, "wrong_executed": float(wrong / max(1, calls)), "ece": expected_error(confidence, right), "threshold": at,
    }  # fmt: skip
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        _reliability(confidence, right, record["ece"], plots / f"reliability_{name}.png")
        _coverage(confidence, observations, at, plots / f"wrong_over_coverage_{name}.png")
    return record


def _reliability(confidence: Numbers, right: Numbers, error: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    where = np.minimum((confidence * 10).astype(int), 9)
    shown = [n for n in range(10) if (where == n).sum() >= 5]
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([confidence[where == n].mean() for n in shown], [right[where == n].mean() for n in shown], marker="o")
    for n in shown:
        axes.annotate(str(int((where == n).sum())), (confidence[where == n].mean(), right[where == n].mean()), fontsize=7)
    axes.set(xlabel="confidence", ylabel="share of decisions that are right", title=f"expected calibration error {error:.3f}, n {len(right)}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _coverage(confidence: Numbers, observations: Sequence[Observation], at: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots()
    acting = [(sure, item) for sure, item in zip(confidence, observations, strict=True) if item.acts]
    acting.sort(key=lambda pair: -pair[0])
    servable = max(1, sum(item.servable for item in observations))
    calls = np.cumsum([item.calls for _, item in acting])
    wrong = np.cumsum([item.wrong for _, item in acting])
    covered = np.cumsum([item.servable for _, item in acting]) / servable
    axes.plot(100 * covered, 100 * wrong / np.maximum(calls, 1))
    chosen = sum(sure >= at for sure, _ in acting)
    if chosen:
        axes.plot([100 * covered[chosen - 1]], [100 * wrong[chosen - 1] / calls[chosen - 1]], marker="o")
    axes.axhline(5, color="grey", linewidth=1)
    axes.set(xlabel="servable requests executed, %", ylabel="wrong of the calls executed, %", ylim=(0, None))
    figure.tight_layout()
    figure.savefig(path, dpi=110)

"""Fits Stitch's confidence on held-out data, and chooses thresholds from a target rate of wrong actions.

Boosted trees over the network's margins say how likely a decision to act is right (a logistic regression for declines), an isotonic
curve makes that a share; thresholds are the smallest at which the wrong calls among those executed stay under each risk's target.
Curve and thresholds come from trees that did not see the example (five folds).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.errors import EngineMissing
from voice_needle.route.stitch.confidence import FEATURES, Curve, Prior, Trees
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Risk
from voice_needle.training.examples import Example
from voice_needle.training.observations import Numbers, Observation, observe, observe_file, offered

TARGETS: Mapping[Risk, float] = {Risk.LOW: 0.035, Risk.MEDIUM: 0.025, Risk.HIGH: 0.01}
CONFIRM: Mapping[Risk, float] = {Risk.LOW: 0.30, Risk.MEDIUM: 0.40, Risk.HIGH: 0.60}
FLOORS = (0.0, -0.5, -1.0, -1.5)  # tried for `given`


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
        tools = offered(example)
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

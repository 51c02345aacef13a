"""How well decisions and their confidence do on observed examples: coverage, wrong of what is executed, calibration error, and both drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Risk
from voice_needle.training.observations import Numbers, Observation


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
    """Exact, refusals, coverage and wrong/executed at the low-risk thresholds, ECE; with PNGs in the folder `plots`.

    exact_if_always_sure acts on all that was read, exact_proposed on what is done or asked about, exact on what is done at once.
    """
    confidence = confidences(router, observations)
    right = np.array([float(item.right if item.acts else item.servable == item.asks) for item in observations])
    at = router.thresholds.act[Risk.LOW]
    goes = [item.acts and sure >= at for item, sure in zip(observations, confidence, strict=True)]
    servable = [item.servable for item in observations]
    calls = sum(item.calls for item, go in zip(observations, goes, strict=True) if go)
    wrong = sum(item.wrong for item, go in zip(observations, goes, strict=True) if go)
    held = sum(go for go, can in zip(goes, servable, strict=True) if can)
    refused = sum(not go for go, can in zip(goes, servable, strict=True) if not can)
    least = router.thresholds.confirm[Risk.LOW]
    proposed = sum((item.right if item.acts and sure >= least else not item.servable) for item, sure in zip(observations, confidence, strict=True))
    exact = sum((item.right if go else not item.servable) for item, go in zip(observations, goes, strict=True))
    record = {
        "n": len(observations), "servable": sum(servable), "exact_if_always_sure": sum(item.right for item in observations) / len(observations), "exact_proposed": proposed / len(observations), "exact": float(exact) / len(observations),
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

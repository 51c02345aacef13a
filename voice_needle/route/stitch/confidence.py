"""How sure Stitch is of a whole decision: a small calibrated model over the network's margins, fitted on held-out data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.errors import ModelCorrupt
from voice_needle.route.stitch.arguments import Draft
from voice_needle.route.stitch.decode import Place, log_share
from voice_needle.route.stitch.encoder.network import Floats, Selected

FEATURES = (
    "present", "rival", "servable", "start", "count", "margin", "span", "choice", "unnamed", "calls", "margins",
    "spans", "alike", "named", "mentioned", "alike_lead", "named_lead", "score", "crowd", "idle", "unexplained", "doubt",
)  # fmt: skip
_LIMIT = 12.0


def log_counts(selected: Selected) -> list[float]:
    """Log-probability of each number of calls: 0, 1, 2, ... the last of so many or more."""
    count = selected.count - selected.count.max()
    return [float(share) for share in count - math.log(float(np.exp(count).sum()))]


def reading_score(selected: Selected, wanted: Sequence[Place], drafts: Sequence[Draft]) -> float:
    """Log-probability of a reading: that it is servable, that these tools are meant from there on, and each argument."""
    score = log_share(selected.servable) + sum(log_share(place.present) + log_share(place.sure) for place in wanted)
    score += log_counts(selected)[min(len(wanted), len(selected.count) - 1)]
    for draft in drafts:
        score += sum(draft.spans) + sum(draft.choices) + sum(log_share(margin) for margin in draft.margins)
    return score


def features(selected: Selected, support: Floats, wanted: Sequence[Place], drafts: Sequence[Draft]) -> Floats:
    """One number for each of FEATURES; for a decline `wanted` and `drafts` are empty. support: (k, 3), see Prior.

    Neither the number of tools nor the length of the sentence is among them: what a fit makes of those does not carry over to
    other toolsets and to written text. The last three are nought here, see `with_left`.
    """
    chosen = {place.tool for place in wanted}
    rivals = [float(logit) for number, logit in enumerate(selected.present) if number not in chosen]
    margins = [margin for draft in drafts for margin in draft.margins]
    shares = log_counts(selected)
    backing = support[sorted(chosen)].min(axis=0) if chosen else support.max(axis=0) if len(support) else np.zeros(3)
    rest = np.delete(support, sorted(chosen), axis=0)
    others = (rest[:, 0].max(), (rest[:, 1] + rest[:, 2]).max()) if len(rest) else (0.0, 0.0)  # the words' best match but for the tools called
    row = [
        min((place.present for place in wanted), default=0.0),
        max(rivals, default=-_LIMIT),
        selected.servable,
        min((place.sure for place in wanted), default=0.0),
        float(shares[min(len(wanted), len(shares) - 1)]),
        min(margins, default=_LIMIT),
        min((score for draft in drafts for score in draft.spans), default=0.0),
        min((score for draft in drafts for score in draft.choices), default=0.0),
        float(sum(draft.unnamed for draft in drafts)),
        float(len(wanted) > 1),
        -sum(log_share(margin) for margin in margins),
        sum(score for draft in drafts for score in draft.spans),
        *(float(value) for value in backing),
        float(backing[0] - others[0]),
        float(backing[1] + backing[2] - others[1]),
        reading_score(selected, wanted, drafts),
        float(np.logaddexp.reduce(rivals)) if rivals else -_LIMIT,
        0.0,
        0.0,
        0.0,
    ]
    return np.clip(np.array(row, dtype=np.float32), -_LIMIT, _LIMIT)


def together(rows: Sequence[Floats], count: float) -> Floats:
    """The features of several readings as those of one: the least sure of each, the strongest rival, sums of sums.

    count: log-probability that so many calls are meant, from the words as one.
    """
    held = np.stack(rows)
    row = held.min(axis=0)
    for name in ("unnamed", "margins", "spans", "score"):
        row[FEATURES.index(name)] = held[:, FEATURES.index(name)].sum()
    for name in ("rival", "crowd"):
        row[FEATURES.index(name)] = held[:, FEATURES.index(name)].max()
    row[FEATURES.index("count")], row[FEATURES.index("calls")] = count, 1.0
    return np.asarray(np.clip(row, -_LIMIT, _LIMIT), dtype=np.float32)


def with_left(row: Floats, idle: float, strange: float, doubt: float) -> Floats:
    """The row with what a decision leaves unexplained (see `leftover`), and whether a guard finds the words doubtful: 0 or 1."""
    out = row.copy()
    out[-3:] = min(idle, _LIMIT), strange, doubt
    return out


@dataclass(frozen=True)
class Trees:
    """Boosted trees of depth three, each as a complete one: 7 questions (is the feature above the threshold?) and 8 answers."""

    feature: Sequence[Sequence[int]]
    threshold: Sequence[Sequence[float]]
    value: Sequence[Sequence[float]]
    bias: float

    def __post_init__(self) -> None:
        held = (np.asarray(self.feature, np.intp), np.asarray(self.threshold), np.asarray(self.value))
        if held[0].shape != held[1].shape or held[0].shape[1:] != (7,) or held[2].shape != (len(held[0]), 8):
            raise ValueError("no trees of depth three")
        object.__setattr__(self, "_held", held)

    def __call__(self, row: Floats) -> float:
        """A logit."""
        feature, threshold, value = self._held  # type: ignore[attr-defined]
        above = np.asarray(row, dtype=np.float64)[feature] > threshold
        every, at = np.arange(len(feature)), np.zeros(len(feature), np.intp)
        for _ in range(3):
            at = 2 * at + 1 + above[every, at]
        return self.bias + float(value[every, at - 7].sum())


@dataclass(frozen=True)
class Curve:
    """Logistic regression or boosted trees, then an isotonic curve. mean, scale, weights: one number a feature."""

    mean: Sequence[float]
    scale: Sequence[float]
    weights: Sequence[float]
    bias: float
    x: Sequence[float] = ()
    y: Sequence[float] = ()
    trees: Trees | None = None

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Curve:
        """From calibration.json. Errors: TypeError, ValueError."""
        trees = held.get("trees")
        return cls(**{**held, "trees": Trees(**trees) if trees else None})

    def __call__(self, row: Floats) -> float:
        """Probability that the decision is right."""
        if self.trees is not None:
            logit = self.trees(row)
        else:
            logit = float((np.asarray(row, dtype=np.float64) - np.asarray(self.mean)) / np.asarray(self.scale) @ np.asarray(self.weights)) + self.bias
        score = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))
        return float(np.interp(score, self.x, self.y)) if self.x else score


def _plain(keys: Mapping[str, float], bias: float) -> Curve:
    weights = [keys.get(name, 0.0) for name in FEATURES]
    return Curve([0.0] * len(FEATURES), [1.0] * len(FEATURES), weights, bias)


@dataclass(frozen=True)
class Prior:
    """What else speaks for a tool: its logit becomes scale x logit + weights . support + bias.

    support: cosine of the untuned sentence vectors, share of the words in the tool's name and description, and in its parameters.
    """

    scale: float = 1.0
    weights: Sequence[float] = (0.0, 0.0, 0.0)
    bias: float = 0.0

    def __call__(self, present: Floats, support: Floats) -> Floats:
        """present: (k,) or 0; support: (k, 3) -> (k,)."""
        return np.asarray(self.scale * present + support @ np.asarray(self.weights, np.float32) + self.bias, dtype=np.float32)


@dataclass(frozen=True)
class Calibration:
    """Curves for decisions to act and to decline. Without a fitted file: the network's own logits."""

    act: Curve = field(default_factory=lambda: _plain({"present": 0.4, "servable": 0.4, "margin": 0.2}, 0.0))
    decline: Curve = field(default_factory=lambda: _plain({"servable": -0.6, "rival": -0.2}, 0.0))
    prior: Prior = Prior()
    given: float = 0.0  # logit from which a parameter counts as given
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read calibration.json; the defaults where there is none. Errors: ModelCorrupt."""
        if not path.is_file():
            return cls()
        try:
            held = json.loads(path.read_text())
            if held["features"] != list(FEATURES):
                raise ValueError("other features")
            curves = [Curve.read(held[name]) for name in ("act", "decline")]
            for curve in curves:
                curve(np.zeros(len(FEATURES), np.float32))
            prior = Prior(**held["prior"])
            prior(np.zeros(1, np.float32), np.zeros((1, 3), np.float32))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ModelCorrupt(f"{path} cannot be read: {error}", fix="voice-needle models verify") from error
        return cls(curves[0], curves[1], prior, float(held["given"]), held.get("about", {}))

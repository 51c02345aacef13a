"""How sure the embedded recogniser is: a small logistic over what its decodings say about each other.

A closed grammar turns any speech into some command, and its own posterior is useless. Three readings of the same sound tell
more: the grammar's, the freer trigram model's, and a loop over all phones, which is the best that any words could score.
Weights fitted on synthetic speech alone accepted four in five foreign recordings: its phones are too clean to be typical.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class Reading:
    """One decoding. score: log-likelihood per speech frame; words: what was read."""

    words: tuple[str, ...]
    score: float


def agreement(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """1 less the word edit distance over the longer length; 0 when either is empty."""
    return Levenshtein.normalized_similarity(a, b) if a and b else 0.0


EMPTY = -3.0  # below the phone loop by more than any real sentence


def features(grammar: Reading, trigram: Reading, phones: float) -> tuple[float, ...]:
    """(agreement of grammar and trigram model, the grammar's score less the phone loop's)."""
    difference = max(EMPTY, grammar.score - phones) if grammar.words else EMPTY
    return agreement(grammar.words, trigram.words), difference


def seconded(reply: Reading, others: tuple[Reading, ...], phones: float) -> tuple[float, ...]:
    """`features` of a reply. Its agreement counts two thirds with the reading that is most like it, a third with the least: a grammar
    finds words in a cough, and the wider grammar finds the same ones."""
    alike = [agreement(reply.words, other.words) for other in others]
    return (2.0 * max(alike) + min(alike)) / 3.0, max(EMPTY, reply.score - phones)


def logistic(values: tuple[float, ...], weights: tuple[float, ...]) -> float:
    """weights: one a value, then the intercept."""
    total = weights[-1] + sum(value * weight for value, weight in zip(values, weights[:-1], strict=True))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))

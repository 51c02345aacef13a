"""What of an utterance a decision does not account for: clauses in which no call begins, and words that nothing explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from voice_needle.route.stitch.clauses import JOINT
from voice_needle.route.stitch.encoder.overlap import Overlap, ToolWords, stem

_WORD = re.compile(r"[a-z]+")
_SHORT = 3  # words; a shorter clause may be an afterthought ("and now")


def idle_clauses(text: str, starts: Sequence[int], evidence: Iterable[str]) -> int:
    """Clauses between "and", "then", ... that hold neither the first word of a call nor words that a call took.

    starts: character at which each call begins; evidence: words behind each argument.
    """
    took = [words.lower() for words in evidence if words]
    joints = [(0, 0), *((match.start(), match.end()) for match in JOINT.finditer(text)), (len(text), len(text))]
    idle = 0
    for (joint, begin), (end, _) in pairwise(joints):
        clause = text[begin:end].lower()
        if len(clause.split()) < _SHORT or any(joint <= start < end for start in starts):
            continue
        idle += not any(words in clause or clause.strip() in words for words in took)
    return idle


def unexplained(text: str, overlap: Overlap, tools: Iterable[ToolWords], evidence: Iterable[str]) -> float:
    """The weighed share of the words that stand in no argument and in no text of the tools called: 0 to 1."""
    known = {stem(word) for words in evidence for word in _WORD.findall(words.lower())}
    for tool in tools:
        known |= tool.head | tool.body
    said = {stem(word): overlap.weight(word) for word in _WORD.findall(text.lower())}
    return sum(weight for word, weight in said.items() if word not in known) / (sum(said.values()) + 0.5)

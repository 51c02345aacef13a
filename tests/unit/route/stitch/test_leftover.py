"""What a decision does not account for."""

from __future__ import annotations

import pytest

from voice_needle.route.stitch.encoder.overlap import Overlap, ToolWords
from voice_needle.route.stitch.leftover import idle_clauses, unexplained


@pytest.mark.parametrize(
    ("text", "calls", "evidence", "idle"),
    [
        ("stop heating the oven and when that's done get the kettle going", ["get the kettle"], [], 1),
        ("stop heating the oven and get the kettle going", ["stop", "get the kettle"], [], 0),
        ("remind me to feed the cat and then water the ferns", ["remind"], ["feed the cat and then water the ferns"], 0),
        ("order soup and a green salad", ["order"], ["soup", "a green salad"], 0),
        ("turn it on and now", ["turn"], [], 0),
        ("let me have the depth in addition make an espresso then call the front desk", ["make"], ["espresso"], 2),
    ],
)
def test_clauses_in_which_nothing_begins_are_counted(text: str, calls: list[str], evidence: list[str], idle: int) -> None:
    assert idle_clauses(text, [text.index(words) for words in calls], evidence) == idle


def test_rare_words_that_nothing_explains_weigh_most() -> None:
    overlap = Overlap({"the": 1000, "turn": 1200, "lamp": 12_000, "fountain": 14_000})
    tool = ToolWords(frozenset(["lamp", "turn", "the"]), frozenset())
    assert unexplained("turn the lamp", overlap, [tool], []) == 0.0
    assert unexplained("turn the fountain", overlap, [tool], []) > 0.4
    assert unexplained("turn the fountain", overlap, [tool], ["the fountain"]) == 0.0

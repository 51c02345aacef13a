"""Templates: every expansion is one that the brackets allow, and the words it cannot do without are known."""

from __future__ import annotations

import random

import pytest

from voice_needle.training.expand import TemplateError, certain_words, parse, sample, slots, unfolded


def expansions(template: str, count: int = 300) -> set[str]:
    rng = random.Random(1)
    return {sample(template, rng) for _ in range(count)}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("turn (on|off) [the] {lamp}", {f"turn {way} {the}{{lamp}}" for way in ("on", "off") for the in ("", "the ")}),
        ("i('d| would) like tea", {"i'd like tea", "i would like tea"}),
        ("(off;{item}) please", {"off {item} please", "{item} off please"}),
        ("[a|an] egg", {"egg", "a egg", "an egg"}),
        ("(very (old|new)|odd) car", {"very old car", "very new car", "odd car"}),
    ],
)
def test_every_reading_and_no_other(template: str, expected: set[str]) -> None:
    assert expansions(template) == expected


@pytest.mark.parametrize("template", ["turn (on|off) [the] {lamp}", "[a|an] egg", "(very (old|new)|odd) car", "(off;{item}) (please|now)"])
def test_unfolded_ways_say_the_same_together(template: str) -> None:
    ways = unfolded(template)
    assert len(ways) > 1
    assert set().union(*(expansions(way) for way in ways)) == expansions(template)
    assert unfolded("no choice") == ("no choice",)


def test_same_seed_same_words() -> None:
    template = "(a|b|c) (d|e|f) [g] [h] {x}"
    first, second = ([sample(template, random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("template", ["turn (on|off", "turn on)", "a | b", "[x", "x]"])
def test_unbalanced_brackets_are_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        parse(template)


def test_words_that_cannot_be_left_out() -> None:
    assert certain_words("(set|put) the alarm [please] {time}") == {"the", "alarm"}
    assert slots("from {a} to {b} [in {unit}]") == {"a", "b", "unit"}

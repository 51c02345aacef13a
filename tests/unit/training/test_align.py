"""Alignment: a value is found as whole words, in figures or words, and at the right one of several places."""

from __future__ import annotations

from voice_needle.training.align import nearest, occurrences
from voice_needle.training.examples import Span


def found(text: str, value: object) -> list[str]:
    return [text[span.start : span.end] for span in occurrences(text, value)]


def test_whole_words_only() -> None:
    assert found("the cat sat on the catalogue", "cat") == ["cat"]
    assert found("a 12 o'clock train at 125", "12") == ["12"]


def test_number_words_and_figures() -> None:
    assert found("a table for three please", "3") == ["three"]
    assert found("room one hundred and five", 105) == ["one hundred and five"]
    assert found("just one ticket", "1") == ["one"]


def test_nothing_is_invented() -> None:
    assert found("turn it up", "kitchen") == []


def test_nearest_to_the_parameters_name_and_not_taken() -> None:
    text = "two rooms for two adults"
    places = occurrences(text, "2")
    whole = Span(0, len(text))
    assert nearest(places, text, ["adults"], [], whole) == Span(14, 17)
    assert nearest(places, text, ["rooms"], [], whole) == Span(0, 3)
    assert nearest(places, text, ["rooms"], [Span(0, 3)], whole) == Span(14, 17)
    assert nearest(places, text, [], [], Span(10, len(text))) == Span(14, 17)

"""Spans that end inside a number are widened to it, and never across two numbers."""

from __future__ import annotations

import pytest

from voice_needle.route.whole_number import whole_number


@pytest.mark.parametrize(
    ("text", "span", "whole", "duration"),
    [
        ("log four hundred and sixty six point three for q twelve", "six point three", "four hundred and sixty six point three", False),
        ("spin for four hours forty five minutes then stop", "forty five minutes", "four hours forty five minutes", True),
        ("wait ninety seconds and two minutes", "ninety", "ninety seconds and two minutes", True),
        ("at seven twenty two degrees", "twenty two", "twenty two", False),
        ("at seven twenty two degrees", "seven twenty", "seven twenty", False),
        ("put a lamp to five", "a lamp", "a lamp", False),
        ("set it to 22.5 degrees", "22.5", "22.5", False),
        ("two minutes and the lamp", "two", "two minutes", True),
    ],
)
def test_a_span_becomes_the_whole_number(text: str, span: str, whole: str, duration: bool) -> None:
    start = text.index(span)
    first, last = whole_number(text, start, start + len(span), len(text), duration=duration)
    assert text[first:last] == whole


def test_nothing_is_taken_from_behind_the_limit() -> None:
    text = "heat to two hundred and fifty"
    start = text.index("two")
    first, last = whole_number(text, start, start + 3, text.index("and"), duration=False)
    assert text[first:last] == "two hundred"

"""A regular expression as it is spoken."""

from __future__ import annotations

import pytest

from voice_needle.transcribe.automaton import compile_patterns
from voice_needle.transcribe.identifiers import shape
from voice_needle.transcribe.patterns import Node, parse
from voice_needle.transcribe.spoken_values import EXPANSIONS


def _parse(template: str) -> Node:
    def no_slot(_: str, name: str) -> Node:
        raise ValueError(name)

    return parse(template, no_slot, EXPANSIONS)


def says(pattern: str, said: str) -> bool:
    node = shape(pattern, _parse)
    assert node is not None
    return compile_patterns(node, {}).accepts(said.split())


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"^(DOCK|[A-Z]\d{1,3})$", "dock"),
        (r"^(DOCK|[A-Z]\d{1,3})$", "a fourteen"),
        (r"^(DOCK|[A-Z]\d{1,3})$", "bravo one two"),
        (r"^(DOCK|[A-Z]\d{1,3})$", "c two hundred and five"),
        (r"^\d{3}(-[A-Z])?$", "four seventy two dash b"),
        (r"^\d{3}(-[A-Z])?$", "four seven two"),
        (r"^AB\d{2}$", "a b forty"),
    ],
)  # fmt: skip
def test_is_said_so(pattern: str, said: str) -> None:
    assert says(pattern, said)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r"^(DOCK|[A-Z]\d{1,3})$", "forty"), (r"^(DOCK|[A-Z]\d{1,3})$", "a b"), (r"^\d{3}(-[A-Z])?$", "two dash b")],
)
def test_is_not_said_so(pattern: str, said: str) -> None:
    assert not says(pattern, said)


@pytest.mark.parametrize("pattern", [r".*", r"[^a]+", r"(", r"\w+"])
def test_what_has_no_shape(pattern: str) -> None:
    assert shape(pattern, _parse) is None

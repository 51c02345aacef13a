"""Expands sentence templates: (a|b) alternatives, (a;b) in any order, [x] optional, {slot}. Parsed once."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache

_SLOT = re.compile(r"\{(\w+)\}")


class TemplateError(ValueError):
    """A template whose brackets do not match."""


@dataclass(frozen=True)
class Choice:
    """One of several sequences; optional: or none of them; permuted: all of them, in any order."""

    options: tuple[tuple[str | Choice, ...], ...]
    optional: bool = False
    permuted: bool = False


@cache
def parse(template: str) -> tuple[str | Choice, ...]:
    """The template as a sequence of literal text and choices. Errors: TemplateError."""
    options, at = _options(template, 0, "")
    if at != len(template) or len(options) != 1:
        raise TemplateError(f"a template's brackets do not match: {template!r}")
    return options[0]


def _options(text: str, at: int, closing: str) -> tuple[list[tuple[str | Choice, ...]], int]:
    options: list[tuple[str | Choice, ...]] = []
    current: list[str | Choice] = []
    literal = ""
    while True:
        char = text[at] if at < len(text) else ""
        if char and char not in "([|;])":
            literal += char
            at += 1
            continue
        if literal:
            current.append(literal)
            literal = ""
        if char in ("(", "["):
            start = at
            inner, at = _options(text, at + 1, ")" if char == "(" else "]")
            current.append(Choice(tuple(inner), char == "[", _separator(text, start) == ";"))
        elif char in ("|", ";") and closing:
            options.append(tuple(current))
            current = []
            at += 1
        elif char == closing:
            options.append(tuple(current))
            return options, at + (1 if char else 0)
        else:
            raise TemplateError(f"a template's brackets do not match: {text!r}")


def _separator(text: str, opening: int) -> str:
    """The first separator on the level of the bracket at `opening`."""
    depth = 0
    for char in text[opening:]:
        depth += (char in "([") - (char in ")]")
        if depth == 1 and char in "|;":
            return char
        if depth == 0:
            break
    return ""


def sample(template: str, rng: random.Random) -> str:
    """One expansion with its {slots} left in, single spaces."""
    out: list[str] = []
    _sample(parse(template), rng, out)
    return " ".join("".join(out).split())


def _sample(sequence: tuple[str | Choice, ...], rng: random.Random, out: list[str]) -> None:
    for item in sequence:
        if isinstance(item, str):
            out.append(item)
        elif item.permuted:
            for option in rng.sample(item.options, len(item.options)):
                out.append(" ")
                _sample(option, rng, out)
            out.append(" ")
        elif not item.optional or rng.random() < 0.4:
            _sample(rng.choice(item.options), rng, out)
        else:
            out.append(" ")


def unfolded(template: str) -> tuple[str, ...]:
    """One template for each way of the first choice; the template itself where there is none. Together they say the same."""
    sequence = parse(template)
    for at, item in enumerate(sequence):
        if isinstance(item, Choice) and not item.permuted:
            ways = (*item.options, ()) if item.optional else item.options
            return tuple(" ".join(_written((*sequence[:at], *way, *sequence[at + 1 :])).split()) for way in ways)
    return (template,)


def _written(sequence: tuple[str | Choice, ...]) -> str:
    out = []
    for item in sequence:
        if isinstance(item, str):
            out.append(item)
            continue
        inside = (";" if item.permuted else "|").join(_written(option) for option in item.options)
        out.append(f"[{inside}]" if item.optional else f"({inside})")
    return "".join(out)


def slots(template: str) -> frozenset[str]:
    """Names of all {slots} that may occur."""
    return frozenset(_SLOT.findall(template))


@cache
def certain_words(template: str) -> frozenset[str]:
    """The literal words that every expansion holds."""
    return _certain(parse(template))


def _certain(sequence: tuple[str | Choice, ...]) -> frozenset[str]:
    words: set[str] = set()
    for item in sequence:
        if isinstance(item, str):
            words.update(_SLOT.sub(" ", item).split())
        elif not item.optional:
            every = [_certain(option) for option in item.options]
            words |= frozenset.union(*every) if item.permuted else frozenset.intersection(*every)
    return frozenset(words)

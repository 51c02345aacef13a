"""Expands sentence templates: (a|b) alternatives, [x] optional, {slot}. Parsed once, sampled many times."""

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
    """One of several sequences; optional: or none of them."""

    options: tuple[tuple[str | Choice, ...], ...]
    optional: bool = False


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
        if char and char not in "([|])":
            literal += char
            at += 1
            continue
        if literal:
            current.append(literal)
            literal = ""
        if char in ("(", "["):
            inner, at = _options(text, at + 1, ")" if char == "(" else "]")
            current.append(Choice(tuple(inner), optional=char == "["))
        elif char == "|" and closing:
            options.append(tuple(current))
            current = []
            at += 1
        elif char == closing:
            options.append(tuple(current))
            return options, at + (1 if char else 0)
        else:
            raise TemplateError(f"a template's brackets do not match: {text!r}")


def sample(template: str, rng: random.Random) -> str:
    """One expansion with its {slots} left in, single spaces."""
    out: list[str] = []
    _sample(parse(template), rng, out)
    return " ".join("".join(out).split())


def _sample(sequence: tuple[str | Choice, ...], rng: random.Random, out: list[str]) -> None:
    for item in sequence:
        if isinstance(item, str):
            out.append(item)
        elif not item.optional or rng.random() < 0.4:
            _sample(rng.choice(item.options), rng, out)
        else:
            out.append(" ")


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
            words |= frozenset.intersection(*(_certain(option) for option in item.options))
    return frozenset(words)

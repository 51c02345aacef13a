"""Cuts a text into sentences, so that the first is heard while the next is still being made."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|vs|etc|approx|e\.g|i\.e)|\b[A-Z])\.$")
MAX_CHARACTERS = 240


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, without empty ones; "22.5", "e.g." and "Dr. Ray" end none. Very long ones are cut at commas."""
    sentences: list[str] = []
    for part in _END.split(" ".join(text.split())):
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += " " + part
        elif part:
            sentences.append(part)
    return [piece for sentence in sentences for piece in _short(sentence)]


def _short(sentence: str) -> list[str]:
    if len(sentence) <= MAX_CHARACTERS:
        return [sentence]
    cut = max(sentence.rfind(mark, 0, MAX_CHARACTERS) for mark in (", ", "; ", ": "))
    if cut <= 0:
        cut = sentence.rfind(" ", 0, MAX_CHARACTERS)
    if cut <= 0:
        return [sentence]
    return [sentence[: cut + 1].strip(), *_short(sentence[cut + 1 :].strip())]

"""Changes how an utterance is written down, not what it means: capitals and punctuation, and words misheard."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from voice_needle.training.draft import Draft, Token

_QUESTION = frozenset(["what", "what's", "who", "where", "when", "why", "how", "is", "are", "did", "does", "do", "can", "could",
                       "would", "will", "which", "should", "have", "has", "was", "were", "am"])  # fmt: skip
_KEEP = frozenset(["a", "i", "the", "to", "of", "and", "not", "no", "don't", "do", "if", "or", "never", "didn't", "won't", "on",
                   "off", "up", "down", "in", "out", "wait", "sorry", "mean"])  # fmt: skip


def written(draft: Draft, rng: random.Random) -> None:
    """Capitals at the start, for "I" and often for names; a mark at the end. Values keep to what stands in the text."""
    named = rng.random() < 0.5
    for call in draft.calls:
        for name, (value, group) in call.arguments.items():
            kind = call.variant.tool.parameters[name].type
            if named and kind == "open" and isinstance(value, str) and group >= 0 and len(value.split()) <= 4:
                _capitalise(draft, group)
    for index, token in enumerate(draft.tokens):
        if token.word == "i" or token.word.startswith("i'"):
            draft.tokens[index] = replace(token, word="I" + token.word[1:])
    first = draft.tokens[0]
    if first.value < 0 or not first.word[0].isalpha():
        draft.tokens[0] = replace(first, word=first.word[:1].upper() + first.word[1:])
    for call in draft.calls:
        for name, (value, group) in call.arguments.items():
            if call.variant.tool.parameters[name].type == "open" and isinstance(value, str) and group >= 0:
                call.arguments[name] = (" ".join(token.word for token in draft.tokens if token.value == group), group)
    mark = "?" if first.word in _QUESTION else rng.choice([".", ".", "", "!"])
    if mark and rng.random() < 0.8 and draft.tokens[-1].after[-1:] != mark:
        draft.tokens[-1] = replace(draft.tokens[-1], after=draft.tokens[-1].after + mark)


def _capitalise(draft: Draft, group: int) -> None:
    for index, token in enumerate(draft.tokens):
        if token.value == group:
            draft.tokens[index] = replace(token, word=token.word[:1].upper() + token.word[1:])


class Mishearing:
    """Neighbours in sound: words of one phonetic code and nearly the same letters, from the corpus's own vocabulary."""

    def __init__(self, words: Iterable[str]) -> None:
        import jellyfish

        groups: dict[str, list[str]] = defaultdict(list)
        for word in sorted({word for word in words if word.isalpha() and len(word) > 2}):
            groups[jellyfish.metaphone(word)].append(word)
        self.neighbours: Mapping[str, list[str]] = {
            word: near
            for group in groups.values()
            for word in group
            if (
                near := [
                    other for other in group if other != word and jellyfish.jaro_winkler_similarity(word, other) > 0.75
                ]
            )
        }

    def apply(self, draft: Draft, rng: random.Random, enum_values: frozenset[int]) -> bool:
        """Mishear one or two words outside open values; True when something changed."""
        places = [
            index for index, token in enumerate(draft.tokens)
            if (token.value < 0 or token.value in enum_values) and token.word in self.neighbours and token.word not in _KEEP
        ]  # fmt: skip
        for index in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
            token: Token = draft.tokens[index]
            draft.tokens[index] = replace(token, word=rng.choice(self.neighbours[token.word]))
        return bool(places)


def enum_groups(draft: Draft) -> frozenset[int]:
    """Numbers of the values that come from an enum or boolean: their words may be misheard and still mean the same."""
    return frozenset(
        group for call in draft.calls for name, (_, group) in call.arguments.items()
        if call.variant.tool.parameters[name].type in ("enum", "boolean")
    )  # fmt: skip

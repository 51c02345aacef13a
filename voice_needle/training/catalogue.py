"""All tools there are, of every source, and which of them may stand beside an example without making its label wrong."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from voice_needle.training.examples import Schema
from voice_needle.training.templates import ToolSpec

_WORD = re.compile(r"[a-z']+")
_SPLIT = re.compile(r"(?<=[a-z])(?=[A-Z])|[_.\W]+")
ALIKE = 0.16  # cosine above which a text might be meant for a tool
_COUNTS = ((1, 1, 6), (2, 5, 30), (6, 12, 34), (13, 30, 20), (31, 60, 10))  # from, to, weight


@dataclass(frozen=True, eq=False)
class Entry:
    """A tool in all its renderings. words: what requests for it sound like. spec: where it is one of the corpus."""

    pool: str
    variants: Sequence[Schema]
    words: str
    spec: ToolSpec | None = None


def draw_count(rng: random.Random) -> int:
    """How many tools to offer: 1 to 60, mostly few."""
    low, high, _ = rng.choices(_COUNTS, [weight for _, _, weight in _COUNTS])[0]
    return rng.randint(low, high)


def schema_words(schema: Schema) -> str:
    """Name and description as words."""
    return " ".join(_SPLIT.split(f"{schema['name']} {schema.get('description', '')}")).lower()


class Catalogue:
    """Tools with a bag-of-words measure of which text might be meant for which of them."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        bags = [Counter(_WORD.findall(entry.words.lower())) for entry in self.entries]
        known: Counter[str] = Counter()
        for bag in bags:
            known.update(bag.keys())
        self.column = {word: index for index, word in enumerate(sorted(known))}
        self.weight = {word: math.log(len(bags) / count) for word, count in known.items()}
        matrix = np.zeros((len(bags), len(self.column)), dtype=np.float32)
        for row, bag in enumerate(bags):
            for word, count in bag.items():
                matrix[row, self.column[word]] = (1 + math.log(count)) * self.weight[word]
        matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-6)
        self.matrix: npt.NDArray[np.float32] = np.ascontiguousarray(matrix.T)
        self.by_pool: dict[str, list[int]] = {}
        for index, entry in enumerate(self.entries):
            self.by_pool.setdefault(entry.pool, []).append(index)

    def alike(self, text: str) -> npt.NDArray[np.float32]:
        """(entries,) cosine of the text with what requests for each tool sound like."""
        words = [word for word in set(_WORD.findall(text.lower())) if word in self.column]
        if not words:
            return np.zeros(len(self.entries), dtype=np.float32)
        weights = np.array([self.weight[word] for word in words], dtype=np.float32)
        norm = float(np.linalg.norm(weights)) or 1.0
        found: npt.NDArray[np.float32] = weights @ self.matrix[[self.column[word] for word in words]] / norm
        return found

    def rivals(self, text: str, count: int, pool: str, taken: set[str], rng: random.Random) -> list[Schema]:
        """Up to `count` other tools of a pool whose labels exclude each other: half those most like the text, half any."""
        if count <= 0:
            return []
        alike, indices = self.alike(text), self.by_pool[pool]
        nearest = sorted(indices, key=lambda index: -alike[index])[:12]
        order = rng.sample(nearest, len(nearest))[: count // 2 + 1] + rng.sample(indices, len(indices))
        found: dict[str, Schema] = {}
        for index in order:
            schema = rng.choice(self.entries[index].variants)
            if schema["name"] not in taken:
                found.setdefault(schema["name"], schema)
            if len(found) == count:
                break
        return list(found.values())

    def strangers(self, text: str, count: int, pools: Sequence[str], taken: set[str], rng: random.Random,
                  *, limit: float = ALIKE) -> list[Schema]:  # fmt: skip
        """Up to `count` tools of other families that this text is surely not meant for; names in `taken` are avoided."""
        if count <= 0:
            return []
        alike = self.alike(text)
        words = frozenset(_WORD.findall(text.lower()))
        found: list[Schema] = []
        names = set(taken)
        for _ in range(count * 3):
            index = rng.choice(self.by_pool[rng.choice(pools)])
            entry = self.entries[index]
            if alike[index] > limit or (entry.spec is not None and entry.spec.may_serve(words)):
                continue
            schema = rng.choice(entry.variants)
            if schema["name"] not in names:
                names.add(schema["name"])
                found.append(schema)
                if len(found) == count:
                    break
        return found


@lru_cache(maxsize=200_000)
def text_words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def corpus_words(tool: ToolSpec, lists: Mapping[str, Sequence[str]]) -> str:
    """What requests for a tool of the corpus sound like: its templates' words, its enums' forms, its names."""
    parts = [re.sub(r"[()\[\]|]", " ", re.sub(r"\{\w+\}", " ", template)) for template in tool.say]
    for parameter in tool.parameters.values():
        if parameter.type in ("enum", "boolean"):
            parts += [form for forms in parameter.forms.values() for form in forms]
        else:
            parts += [parameter.name.replace("_", " ")] * 2
    return " ".join([*parts, *(name.replace("_", " ") for name in tool.names), *tool.descriptions])

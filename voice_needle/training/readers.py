"""Reads the public training sets (Schema-Guided Dialogue, Liu et al., in-car and office skills, meetings)."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voice_needle.errors import ConfigError
from voice_needle.training.align import nearest, occurrences
from voice_needle.training.examples import Answer, Example, Loss, Schema, Span, Value

DEFAULT_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = ("sgd", "sgd_slots", "liu", "car", "skills", "background")
_JOINTS = ("and could you also", "and then", "and also", "after that", "oh and", "then", "and")


class TrainingDataMissing(ConfigError):
    """The folder with the public sets is not where it was looked for."""

    spoken = "The training data is missing."

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no training data at {path}",
            fix="voice-needle train --data FOLDER, where FOLDER holds router/train/*.jsonl.xz",
        )


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of one .jsonl.xz file. Errors: TrainingDataMissing."""
    if not path.is_file():
        raise TrainingDataMissing(path)
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces: the key of the exact-text filter."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower().replace("'", "")).split())


def development_texts(data: Path) -> frozenset[str]:
    """Every sentence of the dev files, normalised. Nothing that equals one of them is trained on."""
    folder = data / "router" / "dev"
    if not folder.is_dir():
        raise TrainingDataMissing(folder)
    return frozenset(normalised(row["query"]) for path in sorted(folder.glob("*.xz")) for row in rows(path))


class Reader:
    """The public sets below one data folder, aligned. Schemas are shared objects, so that they can be numbered."""

    def __init__(self, data: Path = DEFAULT_DATA) -> None:
        self.data = data
        self.schemas: dict[str, dict[str, Schema]] = {}  # pool -> content -> schema
        self.dropped: dict[str, int] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of one set as they stand in its file, read once."""
        if name not in self._rows:
            self._rows[name] = list(rows(self.data / "router" / "train" / f"{name}.jsonl.xz"))
        return self._rows[name]

    def read(self, name: str) -> Iterator[Example]:
        """The examples of one set of SETS, in order; lines whose open values are not in the words are left out."""
        source = self.rows(name)
        whole: frozenset[str] = frozenset()  # turns that chains are made of
        if name == "sgd":
            whole = frozenset(
                row["query"] for row in (*source, *self.rows("sgd_slots")) if row["meta"]["kind"] != "chain"
            )
        for row in source:
            example = self._example(name, row, whole)
            if example is None:
                self.dropped[name] = self.dropped.get(name, 0) + 1
            else:
                yield example

    def _example(self, name: str, row: Mapping[str, Any], whole: frozenset[str]) -> Example | None:
        text: str = row["query"]
        pool = name.removesuffix("_slots")
        tools = tuple(self._schema(pool, tool) for tool in row.get("tools", ()))
        meta = row["meta"]
        answers = aligned(text, tools, row["answers"], whole)
        if answers is None:
            return None
        loss: Loss = "span" if meta.get("loss") == "span" else "all"
        kind = meta.get("kind") or ("none" if not answers else "intent")
        return Example(text, tools, answers, loss, kind, name, pool)

    def _schema(self, pool: str, tool: Schema) -> Schema:
        return self.schemas.setdefault(pool, {}).setdefault(json.dumps(tool, sort_keys=True), tool)


def aligned(
    text: str, tools: tuple[Schema, ...], calls: list[Any], whole: frozenset[str] = frozenset()
) -> tuple[Answer, ...] | None:
    """The calls with the words of their values. whole: sentences that may be halves of one with two calls.

    None where a value has no words. Errors: KeyError for a call of a tool that is not offered.
    """
    clauses = [Span(0, len(text))] if len(calls) == 1 else _halves(text, whole) if len(calls) == 2 else []
    if len(clauses) != len(calls):
        return () if not calls else None
    offered = {tool["name"]: tool for tool in tools}
    answers = []
    for call, clause in zip(calls, clauses, strict=True):
        arguments = _arguments(text, clause, offered[call["name"]], call["arguments"])
        if arguments is None:
            return None
        answers.append(Answer(call["name"], arguments, clause))
    return tuple(answers)


def _arguments(text: str, clause: Span, tool: Schema, given: Mapping[str, Any]) -> dict[str, Value] | None:
    """Aligned arguments; the longest values choose their place first. None where an open value has no words."""
    properties = tool["parameters"]["properties"]
    found: dict[str, Value] = {}
    taken: list[Span] = []
    for name in sorted(given, key=lambda key: -len(str(given[key]))):
        boolean = given[name] in ("True", "False", True, False)
        places = [] if boolean else occurrences(text, given[name])
        span = nearest(places, text, name.split("_"), taken, clause)
        if span is None and "enum" not in properties[name] and not boolean:
            return None
        if span is not None:
            taken.append(span)
        found[name] = Value(given[name], span)
    return {name: found[name] for name in given}


def _halves(text: str, whole: frozenset[str]) -> list[Span]:
    """Where a sentence made of two known turns and a joint divides; empty when it cannot be told."""
    for joint in _JOINTS:
        for match in re.finditer(rf" {joint} ", text):
            if text[: match.start()] in whole and text[match.end() :] in whole:
                return [Span(0, match.start()), Span(match.end(), len(text))]
    return []

"""Mixes the sources into one stream of training examples, deterministic from a seed, and stores it in shards.

`python -m voice_needle.training.mixture --out runs/data --count 400000` writes a mixture once; training reads it with `load`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from voice_needle.route.stitch.dialogue import DIALOGUE_TOOLS
from voice_needle.training import home, more_values
from voice_needle.training.augment import Mishearing, enum_groups, written
from voice_needle.training.catalogue import Catalogue, Entry, corpus_words, draw_count, schema_words, text_words
from voice_needle.training.dialogue import DialogueWriter
from voice_needle.training.draft import Style, finish
from voice_needle.training.examples import Example, Schema, from_json, to_json
from voice_needle.training.hard_cases import Writer
from voice_needle.training.readers import DEFAULT_DATA, SETS, Reader, development_texts, normalised
from voice_needle.training.spoken_requests import Case
from voice_needle.training.templates import Domain, ToolSpec, Variant, read_corpus, read_frames, render, shared_lists

DEFAULT: Mapping[str, float] = {
    "own": 56, "home": 7, "dialogue": 3, "sgd": 10, "sgd_slots": 5, "liu": 10, "car": 1, "skills": 2.5, "background": 3,
}  # fmt: skip
SHARD = 20_000
GENERAL = 0.16  # share of own examples that are functions as programmers write them, in written style
VARIANTS = 12  # renderings of each tool in one mixture: enough to rename, few enough to cache


@cache
def corpus() -> tuple[Domain, ...]:
    """The template corpus, read once a process: seven hundred files take seconds."""
    return tuple(read_corpus())


@cache
def renderings(tool: ToolSpec) -> tuple[Variant, ...]:
    """A tool in VARIANTS ways, the same for every seed, so that caches stay warm."""
    rng = random.Random(tool.key)
    return tuple(render(tool, rng, plain=number == 0) for number in range(VARIANTS))


class Mixture:
    """Everything that examples are made of, read once. held_out: the tools kept for development instead of the others.

    Errors: TrainingDataMissing when the public sets are not below `data`.
    """

    def __init__(self, seed: int = 0, held_out: bool = False, data: Path = DEFAULT_DATA,
                 sources: Sequence[str] = tuple(DEFAULT)) -> None:  # fmt: skip
        self.rng = random.Random(f"{seed} {held_out}")
        self.held_out = held_out
        self.excluded = development_texts(data)
        reader = Reader(data)
        self.sets = {
            name: [example for example in reader.read(name) if normalised(example.text) not in self.excluded]
            for name in SETS
            if name in sources
        }
        self.domains = list(corpus())
        self.variants = {tool: list(renderings(tool)) for domain in self.domains for tool in domain.tools}
        offered = {tool: found for tool, found in self.variants.items() if held_out or not tool.held_out}
        written_for = {tool: found for tool, found in offered.items() if tool.held_out == held_out}
        self.offered = offered
        self.more = more_values.read(data, reader)
        self.frames = read_frames()
        domains = [domain for domain in self.domains if any(tool in written_for for tool in domain.tools)]
        self.writer = Writer(self.rng, domains, written_for, self.frames, self.more, wide=not held_out)
        home_domain = home.read(data, shared_lists(), more_values.devices(data))
        found = {tool: home.variants(tool, random.Random(tool.key), VARIANTS) for tool in home_domain.tools}
        self.home = home.HomeWriter(self.rng, home_domain, found, self.frames, self.more)
        self.variants |= found
        self.offered |= found
        self.general = Writer(self.rng, [domain for domain in domains if domain.name.startswith("general")],
                              {tool: found for tool, found in written_for.items() if tool.domain.startswith("general")},
                              self.frames, self.more, wide=True)  # fmt: skip
        self.dialogue = DialogueWriter(self.rng, self.frames, self.writer)
        self.catalogue = Catalogue([*self._corpus_entries(), *self._public_entries(reader)])
        self.mishearing = Mishearing(self._vocabulary())

    def _corpus_entries(self) -> Iterator[Entry]:
        for domain in (*self.domains, *self.home.domains):
            for tool in domain.tools:
                if tool in self.offered:
                    schemas = [variant.schema for variant in self.variants[tool]]
                    yield Entry(domain.name, schemas, corpus_words(tool, domain.values), tool)

    def _public_entries(self, reader: Reader) -> Iterator[Entry]:
        heard: dict[int, list[str]] = defaultdict(list)
        for examples in self.sets.values():
            for example in examples:
                if example.loss == "all":
                    right = {answer.tool for answer in example.answers}
                    for tool in example.tools:
                        if tool["name"] in right and len(heard[id(tool)]) < 150:
                            heard[id(tool)].append(example.text)
        for pool, schemas in reader.schemas.items():
            if pool != "car":
                for schema in schemas.values():
                    yield Entry(pool, [schema], " ".join([*heard[id(schema)], *[schema_words(schema)] * 3]))

    def _vocabulary(self) -> set[str]:
        words = {word for domain in self.domains for tool in domain.tools for line in (*tool.say, *tool.near)
                 for word in text_words(line)}  # fmt: skip
        return words | {word for domain in self.domains for found in domain.values.values() for line in found
                        for word in text_words(str(line))}  # fmt: skip

    # --- drawing ---

    def stream(self, weights: Mapping[str, float] = DEFAULT) -> Iterator[Example]:
        """Examples without end."""
        names = [name for name in weights if name in ("own", "home", "dialogue") or self.sets.get(name)]
        while True:
            name = self.rng.choices(names, [weights[name] for name in names])[0]
            if name == "own":
                example = self.own()
            elif name == "home":
                example = self.from_home()
            elif name == "dialogue":
                example = self.from_dialogue()
            else:
                example = self.public(self.rng.choice(self.sets[name]))
            if self.may_be_used(example):
                yield example

    def style(self) -> Style:
        digits = self.rng.random() < 0.3
        return Style(digits, self.rng.random() < (0.4 if digits else 0.12))

    def own(self, kind: str | None = None, style: Style | None = None, count: int | None = None) -> Example:
        """An example of the template corpus. kind: one of Writer.kinds; count: how many tools to offer."""
        if kind is None and not self.held_out and self.rng.random() < GENERAL:
            style = Style(self.rng.random() < 0.8, self.rng.random() < 0.7)
            return self.made(self.general.case(self._kind(self.general), style), style, "general", count)
        style = style or self.style()
        return self.made(self.writer.case(kind or self._kind(self.writer), style), style, "own", count)

    def _kind(self, writer: Writer) -> str:
        return self.rng.choices(list(writer.kinds), [weight for weight, _ in writer.kinds.values()])[0]

    def from_home(self, kind: str | None = None, style: Style | None = None, count: int | None = None) -> Example:
        """An example of Home Assistant's intents, more often in figures, as its users write."""
        style = style or Style(self.rng.random() < 0.55, self.rng.random() < 0.15)
        return self.made(self.home.case(kind or self._kind(self.home), style), style, "home", count)

    def from_dialogue(self, style: Style | None = None, count: int | None = None) -> Example:
        """A dialogue act among tools, or the same words where no dialogue act is on offer."""
        style = style or self.style()
        text, answers, offered, kind = self.dialogue.draw(style)
        schemas: list[Schema] = list(DIALOGUE_TOOLS) if offered else []
        count = draw_count(self.rng) if count is None else count
        schemas += self.catalogue.strangers(text, count, self._own_pools(), set(), self.rng, limit=0.1)
        return Example(text, self._shuffled(schemas), answers, "all", kind, "dialogue", "dialogue")

    def may_be_used(self, example: Example) -> bool:
        """Whether its text is none of the public dev files'."""
        return normalised(example.text) not in self.excluded

    def made(self, case: Case, style: Style, source: str, count: int | None = None, *, plain: bool = False) -> Example:
        """A case among `count` tools: siblings first, then strangers. plain: no dialogue acts beside them."""
        draft, rng = case.draft, self.rng
        if not style.clear and rng.random() < 0.08:
            self.mishearing.apply(draft, rng, enum_groups(draft))
        if style.written:
            written(draft, rng)
        text, answers = finish(draft)
        schemas = [variant.schema for variant in case.offered]
        count = draw_count(rng) if count is None else count
        schemas += self._siblings(case, text, count - len(schemas), {schema["name"] for schema in schemas})
        if not plain and rng.random() < 0.4 and not self.dialogue.may_be(text):
            schemas += self._dialogue_tools()
        names = {schema["name"] for schema in schemas}
        schemas += self.catalogue.strangers(text, count - len(schemas), self._pools(), names, rng)
        pool = case.domain.name if case.domain else ""
        return Example(text, self._shuffled(schemas), answers, "all", case.kind, source, pool, case.meta)

    def _siblings(self, case: Case, text: str, room: int, names: set[str]) -> list[Schema]:
        """Tools of the same domain: the near misses. For words that no tool serves, only such as cannot be meant."""
        found: list[Schema] = []
        if case.domain is None or room <= 0:
            return found
        tools = [tool for tool in case.domain.tools if tool in self.offered and tool not in case.barred]
        taken = {variant.tool for variant in case.offered}
        words = text_words(text)
        for tool in self.rng.sample(tools, len(tools)):
            if tool in taken or self.rng.random() < 0.25 or len(found) >= room:
                continue
            if not case.draft.calls and tool.may_serve(words):
                continue
            schema = self.rng.choice(self.variants[tool]).schema
            if schema["name"] not in names:
                names.add(schema["name"])
                found.append(schema)
        return found

    def public(self, example: Example) -> Example:
        """A public example among tools of other families, and of its own where its labels allow it."""
        if self.rng.random() < 0.12:  # as people type; every offset stays what it was
            text = re.sub(r"\bi\b", "I", example.text)
            example = replace(example, text=text[:1].upper() + text[1:] + self.rng.choice([".", "", "!"]))
        if example.loss == "span" or (example.pool == "car" and self.rng.random() < 0.5):
            return example
        schemas = list(example.tools)
        names = {schema["name"] for schema in schemas}
        wanted = draw_count(self.rng) - len(schemas)
        if example.pool in ("liu", "skills") and example.kind == "intent":
            more = self.catalogue.rivals(example.text, wanted // 2 + 1, example.pool, names, self.rng)
            schemas += more
            names |= {schema["name"] for schema in more}
            wanted -= len(more)
        doubtful = example.kind == "none" and (example.pool == "sgd" or example.text.count(" ") < 4)
        doubtful = doubtful or bool(names & {"repeat", "commandstop"}) or self.dialogue.may_be(example.text)
        if not doubtful and self.rng.random() < 0.3:
            schemas += self._dialogue_tools()
        limit = 0.12 if example.answers else 0.08
        pools = self._pools(example.pool)
        schemas += self.catalogue.strangers(example.text, wanted, pools, names, self.rng, limit=limit)
        return replace(example, tools=self._shuffled(schemas))

    def _own_pools(self) -> list[str]:
        return [domain.name for domain in (*self.domains, *self.home.domains) if domain.name in self.catalogue.by_pool]

    def _pools(self, without: str = "") -> list[str]:
        public = [pool for pool in ("sgd", "liu", "skills") if pool in self.catalogue.by_pool and pool != without]
        own = self._own_pools()
        return own + public * max(1, len(own) // 10)

    def _dialogue_tools(self) -> list[Schema]:
        if self.rng.random() < 0.75:
            return list(DIALOGUE_TOOLS)
        return self.rng.sample(DIALOGUE_TOOLS, self.rng.randint(2, len(DIALOGUE_TOOLS)))

    def _shuffled(self, schemas: list[Schema]) -> tuple[Schema, ...]:
        self.rng.shuffle(schemas)
        return tuple(schemas)


def stream(
    mixture: Mapping[str, float] = DEFAULT, seed: int = 0, held_out: bool = False, data: Path = DEFAULT_DATA
) -> Iterator[Example]:
    """Examples without end, drawn by weight. held_out: only what training never sees. Errors: TrainingDataMissing."""
    return Mixture(seed, held_out, data, tuple(mixture)).stream(mixture)


def store(examples: Iterator[Example], count: int, folder: Path) -> None:
    """Write `count` examples: schemas.json holds every tool schema once, shard-NNN.jsonl refers to them by number."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[int, int] = {}
    kept: list[Schema] = []  # keeps the objects alive, so that id() stays theirs
    for start in range(0, count, SHARD):
        with (folder / f"shard-{start // SHARD:03d}.jsonl").open("w", encoding="utf-8") as out:
            for _ in range(min(SHARD, count - start)):
                example = next(examples)
                for tool in example.tools:
                    if id(tool) not in numbers:
                        numbers[id(tool)] = len(kept)
                        kept.append(tool)
                record: dict[str, Any] = to_json(example)
                record["tools"] = [numbers[id(tool)] for tool in example.tools]
                out.write(json.dumps(record, separators=(",", ":")) + "\n")
    (folder / "schemas.json").write_text(json.dumps(kept))


def load(folder: Path) -> Iterator[Example]:
    """What `store` wrote, in order; equal schemas are one object, so that a trainer may encode each once."""
    schemas = json.loads((folder / "schemas.json").read_text())
    for path in sorted(folder.glob("shard-*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield from_json(record, tuple(schemas[number] for number in record["tools"]))


def summary(examples: Sequence[Example]) -> str:
    """Counts by source and kind, a table for people."""
    counts = Counter((example.source, example.kind) for example in examples)
    lines = [f"{count:8,}  {source:<12} {kind}" for (source, kind), count in sorted(counts.items())]
    wrong = sum(1 for example in examples for _ in example.problems())
    declined = sum(1 for example in examples if not example.answers and example.loss == "all")
    tools = sum(len(example.tools) for example in examples) / max(len(examples), 1)
    return "\n".join(
        [
            *lines,
            f"{len(examples):8,}  in all; {declined:,} to be declined; {tools:.1f} tools on offer; {wrong} impossible labels",
        ]
    )


def readable(example: Example) -> str:
    """One example for people: its text, then every call with the words that prove each value."""
    lines = [f"[{example.source}/{example.kind}, {len(example.tools)} tools] {example.text}"]
    for answer in example.answers:
        told = [f"{name}={value.value!r} <- {example.words(value)!r}" for name, value in answer.arguments.items()]
        lines.append(f"    {answer.tool}({', '.join(told)})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a training mixture to shards, or look at one.")
    parser.add_argument("--out", type=Path, default=Path("runs/data"))
    parser.add_argument("--count", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--show", type=int, metavar="N", help="print N examples and counts instead of writing")
    options = parser.parse_args()
    source = stream(DEFAULT, options.seed, data=options.data)
    if options.show is None:
        store(source, options.count, options.out)
        return
    drawn = list(islice(source, max(options.show, 5000)))
    print("\n".join(map(readable, drawn[: options.show])))
    print(summary(drawn))


if __name__ == "__main__":
    main()

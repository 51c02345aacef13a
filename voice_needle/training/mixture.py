"""Mixes the sources into one stream of training examples, deterministic from a seed, and stores it in shards."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from voice_needle.training.examples import Example, Schema, from_json, to_json
from voice_needle.training.readers import DEFAULT_DATA, Reader, development_texts, normalised

DEFAULT: Mapping[str, float] = {"sgd": 3.0, "sgd_slots": 1.5, "liu": 1.5, "car": 0.4, "skills": 0.5, "background": 0.6}
SHARD = 20_000


def stream(
    mixture: Mapping[str, float] = DEFAULT, seed: int = 0, held_out: bool = False, data: Path = DEFAULT_DATA
) -> Iterator[Example]:
    """Examples without end, drawn by weight. held_out: only what training never sees. Errors: TrainingDataMissing."""
    rng = random.Random(seed)
    reader = Reader(data)
    excluded = development_texts(data)
    sets = {name: [item for item in reader.read(name) if normalised(item.text) not in excluded] for name in mixture}
    pools = {name: list(schemas.values()) for name, schemas in reader.schemas.items()}
    names, weights = list(mixture), list(mixture.values())
    while True:
        name = rng.choices(names, weights)[0]
        yield with_distractors(rng.choice(sets[name]), pools, rng)


def with_distractors(example: Example, pools: Mapping[str, list[Schema]], rng: random.Random) -> Example:
    """The example among more tools, where its family allows it: 1 to 60, few more often than many."""
    if example.loss == "span" or example.pool not in ("liu", "background"):
        return example
    wanted = min(60, int(rng.expovariate(1 / 10))) if example.pool == "background" else int(rng.expovariate(1 / 5))
    pool = pools["liu"] + pools["skills"] if example.pool == "background" else pools["liu"]
    tools = {tool["name"]: tool for tool in example.tools}
    if example.kind in ("removed",):
        return example
    for tool in rng.sample(pool, min(wanted, len(pool))):
        tools.setdefault(tool["name"], tool)
    offered = list(tools.values())
    rng.shuffle(offered)
    return replace(example, tools=tuple(offered))


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
                record = to_json(example) | {"tools": [numbers[id(tool)] for tool in example.tools]}
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a training mixture to shards.")
    parser.add_argument("--out", type=Path, default=Path("runs/data"))
    parser.add_argument("--count", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    options = parser.parse_args()
    store(stream(DEFAULT, options.seed, data=options.data), options.count, options.out)


if __name__ == "__main__":
    main()

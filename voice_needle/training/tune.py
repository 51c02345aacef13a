"""Fine-tunes the shipped Stitch on someone's own manifests, measures before and after, and keeps only what is better."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from voice_needle.errors import ConfigError
from voice_needle.route.stitch.encoder.network import weights_folder
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.training.calibrate import calibrate
from voice_needle.training.examples import Example
from voice_needle.training.export import export
from voice_needle.training.fit import Settings, fit, fresh_model
from voice_needle.training.measure import measure
from voice_needle.training.model import published_folder
from voice_needle.training.observations import observe
from voice_needle.training.own_tools import OwnTools, read_tools
from voice_needle.training.readers import aligned
from voice_needle.training.restore import restore

SIZE = 300  # examples of each measurement
FORGETS, ERRS = 0.02, 0.01  # how much worse refusals, and wrong/executed, may become


def fine_tune(
    tools: Path, out: Path, data: Path | None = None, *, weights: Path | None = None, minutes: float = 20.0, threads: int = 2,
    seed: int = 1, report: Callable[[str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on the manifests below `tools`, and on `data` (.jsonl: query, answers, and tools where not all of them are meant).

    Leaves out/weights for VOICE_NEEDLE_STITCH when it is better, else out/rejected, and out/report.json: {"before", "after",
    "installed", "why"}, each measurement on sentences of these tools kept aside ("mine") and on tools no training sees ("others").
    An interrupted run goes on where it was. Errors: ConfigError, ManifestError, EngineMissing, ModelMissing.
    """
    base = weights_folder(weights)
    plugins = read_tools(tools)
    extra = _read(data, [tool.schema() for found in plugins.values() for tool in found]) if data is not None else []
    out.mkdir(parents=True, exist_ok=True)
    start = out / "start.pt"
    torch.save({"average": restore(base)}, start)
    aside = OwnTools(plugins, seed, aside=True)
    sets = {"mine": [aside.example() for _ in range(SIZE)], "others": [aside.own() for _ in range(SIZE)]}
    before = _measured(base, sets)
    settings = Settings(minutes=minutes, rate=2e-4, tower_rate=4e-5, warm_up=40, threads=threads, seed=seed, evaluate_steps=10**9)
    checkpoint = fit(lambda number: _stream(plugins, number, extra), out / "run", settings, start_from=start, report=report)
    folder = _exported(checkpoint, out / "candidate", base)
    fitting, known = OwnTools(plugins, seed + 1, aside=True), OwnTools(plugins, seed + 2)
    examples = [item() for _ in range(SIZE) for item in (fitting.example, fitting.example, fitting.own, known.own, known.example)]
    calibrate(folder, examples, apart="mine")
    after = _measured(folder, sets)
    why = worse(before, after)
    target = out / ("rejected" if why else "weights")
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    found = {"before": before, "after": after, "installed": not why, "why": why, "weights": str(target)}
    (out / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def worse(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> str:
    """In what the new router is worse than the old one; "" where it may replace it."""
    if after["mine"]["exact"] < before["mine"]["exact"]:
        return f"fewer of your requests are exactly right: {after['mine']['exact']:.1%} after {before['mine']['exact']:.1%}"
    for name, found in after.items():
        if found["exact_if_always_sure"] < before[name]["exact_if_always_sure"] - FORGETS:
            return f"it understands less ({name}): {found['exact_if_always_sure']:.1%}"
        if found["coverage"] < before[name]["coverage"] - FORGETS:
            return f"it dares to execute less ({name}): {found['coverage']:.1%}"
        if found["refusal_recall"] < before[name]["refusal_recall"] - FORGETS:
            return f"it refuses less of what it must refuse ({name}): {found['refusal_recall']:.1%}"
        if found["wrong_executed"] > before[name]["wrong_executed"] + ERRS:
            return f"more of what it executes is wrong ({name}): {found['wrong_executed']:.1%}"
    return ""


def _measured(folder: Path, sets: Mapping[str, list[Example]]) -> dict[str, dict[str, Any]]:
    router = StitchRouter(folder)
    return {name: measure(router, observe(router, examples)) for name, examples in sets.items()}


def _stream(plugins: Mapping[str, Any], seed: int, extra: list[Example]) -> Any:
    mixture = OwnTools(plugins, seed)
    for example in mixture.mixed():
        yield mixture.rng.choice(extra) if extra and mixture.rng.random() < 0.2 else example


def _exported(checkpoint: Path, folder: Path, base: Path) -> Path:
    source = published_folder()
    model = fresh_model(source)
    held = torch.load(checkpoint, map_location="cpu", weights_only=True)
    own = dict(model.named_parameters())
    for name, value in held["average"].items():
        own[name].data.copy_(value)
    about = json.loads((base / "model.json").read_text()).get("about", {})
    return export(model, source / "vocab.txt", folder, {**about, "tuned_steps": held["step"]})


def _read(path: Path, schemas: list[dict[str, Any]]) -> list[Example]:
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            tools = tuple(row.get("tools") or schemas)
            answers = aligned(row["query"], tools, row["answers"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}:{number} is no example: {error!r}", fix='write {"query": "...", "answers": [...]} a line') from error
        if answers is None:
            raise ConfigError(f"{path}:{number}: a value does not stand in the query", fix="use the words of the query as values")
        found.append(Example(row["query"], tools, answers, source="mine", pool="mine"))
    return list(islice(found, 100_000))

"""Trains Stitch: resumable, deterministic from a seed, with a live line and a plot of losses and shares."""

from __future__ import annotations

import json
import math
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import torch

from voice_needle.route.stitch.encoder.round4 import rounded
from voice_needle.route.stitch.encoder.tokens import WordPieces
from voice_needle.route.stitch.schema_text import KINDS
from voice_needle.training.batch import Batch, Collator, SchemaVectors, batches
from voice_needle.training.examples import Example
from voice_needle.training.loss import WEIGHTS, Counts, forward, losses
from voice_needle.training.model import Stitch, load_published, published_folder


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run. budget: word-pieces a step; minutes: stop then, the rate having fallen to its end."""

    minutes: float = 60.0
    steps: int = 0  # stop after so many; 0: by minutes
    budget: int = 2048
    rate: float = 6e-4  # of the decoders
    tower_rate: float = 1.2e-4  # of the fine-tuned encoder layers
    warm_up: int = 200
    decay: float = 0.01
    average: float = 0.998  # weights are averaged exponentially, a step at a time
    seed: int = 20261121
    threads: int = 2
    checkpoint_minutes: float = 5.0
    evaluate_steps: int = 500
    device: str = "cpu"
    weights: Mapping[str, float] = field(default_factory=lambda: dict(WEIGHTS))


class Run:
    """One training run in a folder: checkpoint.pt, log.jsonl, progress.png."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out, self.settings = out, settings
        out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        random.seed(settings.seed)
        torch.set_num_threads(settings.threads)
        self.device = torch.device(settings.device)
        folder = published_folder()
        self.pieces = WordPieces(folder / "vocab.txt")
        self.model = fresh_model(folder)
        self.vectors = SchemaVectors(self.model, self.pieces, out.parent / "schema_vectors.npz")
        self.trained = {name: item for name, item in self.model.named_parameters() if item.requires_grad}
        self.average = {name: item.detach().clone() for name, item in self.trained.items()}
        self.optimiser = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98), fused=True)
        self.step, self.spent, self.seen, self.fraction = 0, 0.0, 0, 0.0
        self.log: list[dict[str, Any]] = []

    def _groups(self) -> list[dict[str, Any]]:
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, item in self.trained.items():
            groups.setdefault((name.startswith("tower."), item.ndim > 1), []).append(item)
        return [
            {"params": items, "base": self.settings.tower_rate if tower else self.settings.rate,
             "weight_decay": self.settings.decay if matrix else 0.0, "lr": 0.0}
            for (tower, matrix), items in groups.items()
        ]  # fmt: skip

    def resume(self) -> bool:
        """Go on from the checkpoint, when there is one."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        held = torch.load(path, map_location="cpu", weights_only=True)
        self.load(held["model"])
        self.average = held["average"]
        self.optimiser.load_state_dict(held["optimiser"])
        self.step, self.spent, self.seen = held["step"], held["spent"], held["seen"]
        if (self.out / "log.jsonl").is_file():
            self.log = [json.loads(line) for line in (self.out / "log.jsonl").read_text().splitlines()]
        return True

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the trained weights (of a checkpoint's "model" or "average")."""
        for name, item in self.trained.items():
            if name in weights and weights[name].shape == item.shape:
                item.data.copy_(weights[name])

    def save(self) -> None:
        """Write the checkpoint so that a cut leaves the last one whole."""
        temporary = self.out / "checkpoint.tmp"
        torch.save(
            {"model": {name: item.detach() for name, item in self.trained.items()}, "average": self.average,
             "optimiser": self.optimiser.state_dict(), "step": self.step, "spent": self.spent, "seen": self.seen,
             "settings": json.dumps(asdict(self.settings))},
            temporary,
        )  # fmt: skip
        temporary.replace(self.out / "checkpoint.pt")
        self.vectors.save()

    def _rate(self) -> float:
        settings = self.settings
        done = self.step / settings.steps if settings.steps else self.spent / (60 * settings.minutes)
        self.fraction = min(1.0, done)
        return min(1.0, (self.step + 1) / settings.warm_up) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * self.fraction)))

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One update; returns the losses."""
        rate = self._rate()
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * rate
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            output = forward(self.model, batch)
        found = losses(output, batch)
        total = sum((self.settings.weights[name] * item for name, item in found.items()), torch.zeros(()))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.seen += len(batch.examples)
        if self.step % 8 == 0:
            keep = min(self.settings.average, (1 + self.step) / (20 + self.step)) ** 8
            held = list(self.average.values())
            torch._foreach_lerp_(held, [item.detach() for item in self.trained.values()], 1.0 - keep)
        return {"total": float(total.detach()), **{name: float(item.detach()) for name, item in found.items()}}

    @torch.no_grad()
    def evaluate(self, held_out: list[Batch]) -> dict[str, float]:
        """Shares with the averaged weights."""
        own = {name: item.detach().clone() for name, item in self.trained.items()}
        self.load(self.average)
        self.model.eval()
        counts = Counts()
        for batch in held_out:
            with torch.autocast(self.device.type, torch.bfloat16):
                output = forward(self.model, batch)
            counts.add(output, batch)
        self.load(own)
        return counts.shares()


def fresh_model(folder: Path) -> Stitch:
    """Stitch before any training, its word embeddings rounded to four bits."""
    from safetensors.torch import load_file

    weights = load_file(str(folder / "model.safetensors"))
    model = Stitch(len(weights["embeddings.word_embeddings.weight"]), len(KINDS))
    load_published(model, weights)
    model.embedding.weight.data.copy_(torch.from_numpy(rounded(model.embedding.weight.detach().numpy())))
    return model


def prefetched(source: Iterator[Batch], depth: int = 3) -> Iterator[Batch]:
    """The same batches, made ready by a thread while the step before runs. An error in the thread is raised here."""
    queue: Queue[Batch | BaseException | None] = Queue(maxsize=depth)

    def work() -> None:
        try:
            for item in source:
                queue.put(item)
            queue.put(None)
        except BaseException as error:  # handed over to the caller's thread
            queue.put(error)

    threading.Thread(target=work, daemon=True, name="batches").start()
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def fit(
    stream: Callable[[int], Iterator[Example]], out: Path, settings: Settings = Settings(),
    held_out: Mapping[str, list[Example]] | None = None, start_from: Path | None = None, report: Callable[[str], None] | None = None,
) -> Path:  # fmt: skip
    """Train until `minutes` of training are spent, going on where an earlier call was cut.

    stream(seed): training examples without end. held_out: name -> examples to measure on, never trained on.
    start_from: a checkpoint whose averaged weights to begin with. Returns the checkpoint's path.
    Errors: EngineMissing without the train extra.
    """
    say = report or _progress
    run = Run(out, settings)
    if not run.resume() and start_from is not None:
        held = torch.load(start_from, map_location="cpu", weights_only=True)
        run.load(held["average"])
        run.average = {name: item.detach().clone() for name, item in run.trained.items()}
    measured = {
        name: list(batches(iter(items), Collator(run.vectors, settings.seed, training=False), settings.budget, len(items)))
        for name, items in (held_out or {}).items()
    }
    source = batches(stream(settings.seed + run.step), Collator(run.vectors, settings.seed + run.step), settings.budget)
    smooth: dict[str, float] = {}
    stopped = threading.Event()
    if threading.current_thread() is threading.main_thread():  # an interrupted run saves itself first
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
    began, saved = time.monotonic(), time.monotonic()
    spent_before, seen_before = run.spent, run.seen
    for batch in prefetched(source):
        found = run.train_step(batch.to(run.device))
        run.spent = spent_before + time.monotonic() - began
        for name, value in found.items():
            smooth[name] = value if name not in smooth else 0.98 * smooth[name] + 0.02 * value
        finished = run.spent >= 60 * settings.minutes if not settings.steps else run.step >= settings.steps
        if run.step % 10 == 0:
            speed = (run.seen - seen_before) / max(1e-6, run.spent - spent_before)
            say(f"step {run.step}  {100 * run.fraction:.0f} %  loss {smooth['total']:.3f}  {run.seen:,} examples, {speed:.0f} a second")
        if run.step % settings.evaluate_steps == 0 or finished:
            record = {"step": run.step, "spent_s": round(run.spent), "seen": run.seen, "losses": {k: round(v, 4) for k, v in smooth.items()},
                      "held_out": {name: run.evaluate(items) for name, items in measured.items()}}  # fmt: skip
            run.log.append(record)
            (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in run.log))
            say(_line(record) + "\n")
            plot(run.log, out / "progress.png")
        if finished or stopped.is_set() or time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            run.save()
            saved = time.monotonic()
        if finished or stopped.is_set():
            break
    return out / "checkpoint.pt"


def _line(record: Mapping[str, Any]) -> str:
    shares = "  ".join(
        f"{name}: " + " ".join(f"{key} {100 * value:.1f}" for key, value in found.items()) for name, found in record["held_out"].items()
    )
    return f"step {record['step']}  {record['spent_s'] / 60:.1f} min  loss {record['losses']['total']:.3f}  {shares}"


def _progress(text: str) -> None:
    print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text.rstrip("\n"), end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def plot(log: list[dict[str, Any]], path: Path) -> None:
    """Losses and held-out shares over training time, as a PNG; nothing where matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [line["spent_s"] / 60 for line in log]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    for name in log[-1]["losses"]:
        left.plot(minutes, [line["losses"].get(name, float("nan")) for line in log], label=name)
    left.set(xlabel="minutes of training", ylabel="loss", yscale="log")
    left.legend(fontsize=7)
    for name, found in log[-1]["held_out"].items():
        for key in found:
            right.plot(minutes, [100 * line["held_out"].get(name, {}).get(key, float("nan")) for line in log], label=f"{name}: {key}")
    right.set(xlabel="minutes of training", ylabel="right on held-out data, %", ylim=(0, 100))
    if right.get_legend_handles_labels()[0]:
        right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

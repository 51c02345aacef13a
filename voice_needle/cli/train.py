"""voice-needle train: fine-tune the embedded router on your own tools, or train it from the start (extra [train])."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from voice_needle.cli.common import json_option, print_json, print_table
from voice_needle.errors import EngineMissing

SHOWN = ("exact_match", "tool_accuracy", "refusal_recall", "wrong_executed", "coverage", "ece")


@click.command()
@click.option(
    "--tools",
    "tools_dir",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Plugins to fine-tune on; without it, the whole router is trained.",
)
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="More examples (.jsonl) with --tools; else the folder of public training sets.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("runs/train"),
    show_default=True,
    help="Checkpoints, log, plot, weights. An interrupted run goes on from here.",
)
@click.option("--minutes", type=float, help="Training time; 20 with --tools, else 120.")
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--seed", type=int, default=20261121, show_default=True)
@json_option
def train(
    tools_dir: Path | None, data: Path | None, out: Path, minutes: float | None, threads: int, seed: int, as_json: bool
) -> None:
    """Fine-tune on your own manifests; the result is kept only if it is better and forgets nothing."""
    if importlib.util.find_spec("torch") is None:
        raise EngineMissing("training needs PyTorch, which is not installed", fix="pip install 'voice-needle[train]'")

    def report(text: str) -> None:
        click.echo(f"\r\033[K{text}" if not text.endswith("\n") else f"\r{text}", err=True, nl=False)

    if tools_dir is None:
        found = train_whole(out, data, minutes or 120.0, threads, seed, report)
    else:
        from voice_needle.training.tune import fine_tune

        found = fine_tune(tools_dir, out, data, minutes=minutes or 20.0, threads=threads, seed=seed, report=report)
    click.echo(err=True)
    print_json(found) if as_json else show(found)
    if not found.get("installed", True):
        raise SystemExit(1)


def train_whole(
    out: Path, data: Path | None, minutes: float, threads: int, seed: int, report: Callable[[str], None]
) -> dict[str, Any]:
    """What made the shipped weights: fit on public sets and the template corpus, export, calibrate, measure, model card."""
    from voice_needle.dispatch.registry import bundled_folder
    from voice_needle.training.fit import Settings, fit
    from voice_needle.training.heldout import development_sets
    from voice_needle.training.mixture import DEFAULT, stream
    from voice_needle.training.own_tools import read_tools, with_plugins
    from voice_needle.training.readers import DEFAULT_DATA
    from voice_needle.training.ship import ship

    source = data or DEFAULT_DATA
    sets = development_sets(seed, data=source)
    watched = {name: sets[name][:150] for name in ("held_out_domains", "home")}
    settings = Settings(minutes=minutes, threads=threads, seed=seed)
    plugins = read_tools(bundled_folder())
    checkpoint = fit(
        lambda number: with_plugins(plugins, stream(DEFAULT, seed=number, data=source), number),
        out,
        settings,
        watched,
        report=report,
    )
    found = ship(checkpoint, out / "weights", data=source)
    return {"after": found["own"], "weights": str(out / "weights"), "files": found["files"]}


def show(found: dict[str, Any]) -> None:
    before, after = found.get("before", {}), found.get("after", {})
    rows = [
        (name, metric, _share(before.get(name, {}).get(metric)), _share(values.get(metric)))
        for name, values in after.items()
        for metric in SHOWN
        if metric in values
    ]
    print_table(("measured on", "metric", "before", "after"), rows)
    if found.get("why"):
        click.secho(f"Not kept: {found['why']}", fg="yellow")
    else:
        click.echo(f"\nUse it: export VOICE_NEEDLE_STITCH={found['weights']}")


def _share(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"

"""voice-needle eval: accuracy on files, always beside its baselines and with 95 % intervals."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json, print_table
from voice_needle.cli.evaluate_duplex import duplex
from voice_needle.cli.evaluate_soak import soak
from voice_needle.errors import ConfigError
from voice_needle.tools import Toolset

BASELINES = ("always-decline", "bm25")


@click.group(name="eval")
def evaluate() -> None:
    """Accuracy on files: router, speech, scenarios. Metrics as in the README; --json prints one object."""


@evaluate.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--router", "name", metavar="NAME", default="auto", show_default=True, help="templates, stitch, needle, bm25, ..."
)
@click.option("--baselines", is_flag=True, help="Run always-decline and BM25 beside it (a table; with --json a list).")
@click.option("--unguarded", is_flag=True, help="Run the same router without its guards beside it: what they are worth.")
@click.option("--limit", type=int, help="Only the first LIMIT lines of each file.")
@config_options
@json_option
def router(
    files: tuple[Path, ...],
    name: str,
    baselines: bool,
    unguarded: bool,
    limit: int | None,
    config_file: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Score a router on .jsonl or .jsonl.xz FILES of {"query", "tools", "answers"}."""
    from voice_needle.assembly import make_router
    from voice_needle.evaluation.router import evaluate as score
    from voice_needle.evaluation.router import label, table

    config = configuration.load(config_file, profile)
    config = replace(config, route=replace(config.route, threads=1))
    names = (name, *(each for each in BASELINES if baselines and each != name))
    reports = [score(files, make_router(config, each), name=each, limit=limit) for each in names]
    if unguarded:
        bare = make_router(config, name, guarded=False)
        reports.insert(1, score(files, bare, name=f"{name} without guards", limit=limit))
    if as_json:
        print_json(reports if len(reports) > 1 else reports[0])
        return
    for file in [None] if len(files) == 1 else [None, *map(label, files)]:
        Console().print(table(reports, file))


@evaluate.command("needle-environments")
@click.option("--router", "name", metavar="NAME", default="stitch", show_default=True, help="stitch, needle, bm25, ...")
@click.option(
    "--wheel", metavar="PATH", type=click.Path(path_type=Path), help="cactus-needle 3.2.8, where it is not installed."
)
@click.option("--baselines", is_flag=True, help="Run always-decline and BM25 beside it (with --json a list).")
@config_options
@json_option
def needle_environments(
    name: str, wheel: Path | None, baselines: bool, config_file: Path | None, profile: str | None, as_json: bool
) -> None:
    """Run the acceptance suites that ship with Cactus Compute's Needle: six environments of 32 requests."""
    from voice_needle.assembly import make_router
    from voice_needle.evaluation.environments import evaluate_environments, table

    config = configuration.load(config_file, profile)
    config = replace(config, route=replace(config.route, threads=1))
    names = (name, *(each for each in BASELINES if baselines and each != name))
    reports = [evaluate_environments(make_router(config, each), wheel) for each in names]
    if as_json:
        print_json(reports if baselines else reports[0])
        return
    for report in reports:
        Console().print(table(report))
    for environment, result in reports[0]["environments"].items():
        for failure in result["failures"]:
            click.secho(f"{environment}: {failure['query']}", fg="red" if failure["critical"] else "yellow")
            click.echo(
                f"  wanted {failure['want']}\n  got    {failure['got']} ({failure['outcome']}: {failure['reason']})"
            )


@evaluate.command()
@click.option("--size", type=click.IntRange(min=24), default=1200, show_default=True, help="Of the corpus that is drawn.")
@click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="The folder of public data, where it is not beside the project.")
@click.option("--plots", metavar="DIR", type=click.Path(path_type=Path), help="Draw confidence and coverage there (extra [plot]).")
@click.option("--baselines", is_flag=True, help="Run always-decline and BM25 beside it.")
@json_option
def unseen(size: int, data: Path | None, plots: Path | None, baselines: bool, as_json: bool) -> None:
    """Score the embedded router on domains that no training saw, and with 5 to 60 tools on offer."""
    from rich.progress import Progress

    from voice_needle.route import get_router
    from voice_needle.training.readers import DEFAULT_DATA
    from voice_needle.training.unseen import evaluate_unseen, tables

    beside = [get_router(each) for each in BASELINES if baselines]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        report = evaluate_unseen(
            beside, size, data or DEFAULT_DATA, plots,
            lambda name, done, of: progress.update(task, description=name, completed=done, total=of),
        )  # fmt: skip
    if as_json:
        print_json(report)
        return
    for each in tables(report):
        Console().print(each)


@evaluate.command()
@click.argument("plugins", nargs=-1)
@click.option("--router", "name", metavar="NAME", default="templates", show_default=True)
@json_option
def scenarios(plugins: tuple[str, ...], name: str, as_json: bool) -> None:
    """Say the scenarios of PLUGINS (all, if none) for real: exact call, effect in the back end, what is said."""
    from rich.progress import track

    from voice_needle.assembly import make_router, open_registry
    from voice_needle.evaluation.scenarios import FILE_NAME, run_plugin, table

    config = configuration.load()
    registry = open_registry(config, plugins or None)
    wanted = [each for each, found in registry.plugins.items() if (found.folder / FILE_NAME).is_file()]
    outcomes = []
    for plugin in track(wanted, "Scenarios", console=Console(stderr=True), transient=True):
        outcomes += asyncio.run(run_plugin(plugin, make_router(config, name)))
    report = table(outcomes)
    if as_json:
        print_json(report)
    else:
        rows = [
            (plugin, tool, counts["scenarios"], counts["passed"])
            for plugin, row in report["plugins"].items()
            for tool, counts in row["tools"].items()
        ]
        print_table(("plugin", "tool", "scenarios", "passed"), rows)
        for failure in report["failures"]:
            click.secho(f"{failure['plugin']}: {failure['say']}", fg="red")
            for problem in failure["problems"]:
                click.echo(f"  {problem}")
        click.echo(f"{report['passed']} of {report['scenarios']} passed")
    if report["failures"]:
        raise SystemExit(1)


@evaluate.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--manifest",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The plugin whose tools are spoken to; one named like FOLDER by default.",
)
@click.option(
    "--noise",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Mixed in at 24, 18, 12 and 6 dB; a *noise* file beside FOLDER by default.",
)
@click.option(
    "--decay",
    "decays_s",
    metavar="SECONDS",
    type=click.FloatRange(0.05, 2.0),
    multiple=True,
    help="Also in simulated rooms with this reverberation time, beside the same recogniser without dereverberation.",
)
@click.option("--engine", metavar="NAME", default="sphinx", show_default=True)
@json_option
def speech(
    folder: Path, manifest: Path | None, noise: Path | None, decays_s: tuple[float, ...], engine: str, as_json: bool
) -> None:
    """Score the recogniser on real recordings in FOLDER (with its labels.json), clean, in noise and in rooms."""
    from rich.progress import Progress

    from voice_needle.assembly import make_recogniser, make_router
    from voice_needle.dispatch.manifest import load_or_raise
    from voice_needle.evaluation.speech import evaluate_speech

    folder = folder.resolve()
    found = manifest or Path(__file__).parents[1] / "evaluation" / "manifests" / folder.name
    if not (found / "plugin.yaml").is_file():
        raise ConfigError(f"There is no manifest for {folder.name}", fix="give the plugin's folder with --manifest")
    background = noise or next(iter(sorted(folder.parent.glob("*noise*"))), None)
    config = configuration.load()
    beside = {}
    if decays_s:
        plain = replace(config, transcribe=replace(config.transcribe, dereverberate=False))
        beside["as it is"] = make_recogniser(plain, engine)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Recordings")
        report = evaluate_speech(
            folder,
            Toolset(load_or_raise(found).tools),
            make_recogniser(config, engine),
            make_router(config, "templates"),
            noise=background,
            decays_s=decays_s,
            beside=beside,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print_json(report) if as_json else print_speech(report)


def print_speech(report: dict[str, Any]) -> None:
    rows = [
        (
            name,
            part["n"],
            f"{part['exact_match']:.1%}",
            f"{part.get('word_error_rate') or 0:.1%}",
            part.get("real_time_factor", ""),
        )
        for name, part in report.items()
        if isinstance(part, dict) and "exact_match" in part
    ]
    print_table(("condition", "n", "whole calls right", "word errors", "real-time factor"), rows)


evaluate.add_command(duplex)
evaluate.add_command(soak)

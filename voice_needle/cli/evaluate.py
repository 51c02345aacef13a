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
@click.option("--limit", type=int, help="Only the first LIMIT lines of each file.")
@config_options
@json_option
def router(
    files: tuple[Path, ...],
    name: str,
    baselines: bool,
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
    if as_json:
        print_json(reports if baselines else reports[0])
        return
    for file in [None] if len(files) == 1 else [None, *map(label, files)]:
        Console().print(table(reports, file))


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
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--limit", type=int, help="Only the first LIMIT recordings.")
@click.option("--engine", metavar="NAME", default="sphinx", show_default=True)
@json_option
def speech(folder: Path, limit: int | None, engine: str, as_json: bool) -> None:
    """Score the recogniser on real recordings in FOLDER, clean and in noise."""
    from voice_needle.evaluation.speech import report_on

    report = report_on(folder, engine=engine, limit=limit)
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

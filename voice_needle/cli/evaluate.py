"""voice-needle eval: accuracy on files, always beside its baselines and with 95 % intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json

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
    from rich.console import Console

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
@json_option
def scenarios(plugins: tuple[str, ...], as_json: bool) -> None:
    """Say every plugin's scenarios for real: utterance, exact call, effect in the back end, what is said."""
    from voice_needle.evaluation.scenarios import report

    report(plugins, as_json=as_json)

"""What the commands share: the configuration options, a decision, JSON on standard output, tables for people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.tools import Toolset
from voice_needle.trace import plain

F = TypeVar("F", bound=Callable[..., Any])


def config_options(function: F) -> F:
    """--config FILE and --profile NAME."""
    function = click.option("--profile", metavar="NAME", help="Device profile: voice-needle devices --profiles.")(
        function
    )
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Read this file, not the usual ones.",
    )(function)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Machine-readable JSON on standard output, nothing else."
)


def decide(text: str, tools: Toolset, config: Config, router: str | None) -> Decision:
    """What a router makes of `text`. elapsed_ms: of the decision alone; what is prepared once is not counted."""
    from voice_needle.assembly import make_router

    engine = make_router(config, router)
    engine.prepare(tools)
    context = RouteContext(now=RealClock().now(), room=config.route.room or None)
    started = time.perf_counter()
    decision = engine.route(Transcript(text), tools, context)
    return replace(decision, elapsed_ms=(time.perf_counter() - started) * 1000)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=plain))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Plain aligned columns: readable on a terminal, in a log and through a pipe."""
    lines = [list(map(str, row)) for row in rows]
    widths = [max([len(head), *(len(line[i]) for line in lines)]) for i, head in enumerate(headings)]
    click.secho("  ".join(head.ljust(width) for head, width in zip(headings, widths, strict=True)).rstrip(), bold=True)
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

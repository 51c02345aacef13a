"""voice-needle bench: milliseconds for each stage, memory, idle load; --router for the routers side by side."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json


@click.command()
@click.option("--router", "routers", is_flag=True, help="Only the routers: Stitch beside Needle v1's own graph.")
@click.option("--instructions", is_flag=True, help="Only instructions a request of the routers, counted by valgrind: a quarter of an hour, with --quick two minutes.")
@click.option("--dispatch", is_flag=True, help="Only the dispatcher: 50 calls a second.")
@click.option("--duplex", is_flag=True, help="Only listening while speaking: full duplex beside half duplex.")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="How long --dispatch and --duplex run.")
@click.option("--quick", is_flag=True, help="Fewer sentences.")
@config_options
@json_option
def bench(
    routers: bool,
    instructions: bool,
    dispatch: bool,
    duplex: bool,
    seconds: float,
    quick: bool,
    config_file: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Measure this machine. Every time is in ms, p50 and p95; ratios are between two ways that ran in turn."""
    from voice_needle.evaluation import bench as b

    config = configuration.load(config_file, profile)
    report: dict[str, Any] = {
        "profile": config.profile,
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    console = Console(stderr=True)
    with console.status("Measuring ...") if console.is_terminal else console.status("", spinner="dots"):
        if instructions:
            from voice_needle.evaluation.instructions import count_instructions

            report["instructions"] = count_instructions(quick=quick)
        elif routers:
            from voice_needle.evaluation.bench_router import bench_routers

            report["router"] = bench_routers(config, quick=quick)
        elif dispatch:
            from voice_needle.dispatch.bench import bench_dispatch

            report["dispatch"] = asyncio.run(bench_dispatch(seconds, 50))
        elif duplex:
            from voice_needle.evaluation.bench_duplex import bench_duplex

            report["duplex"] = bench_duplex(config, min(seconds, 30.0) if quick else seconds, 1 if quick else 3)
        else:
            from voice_needle.assembly import open_registry

            limit = 4 if quick else len(b.SENTENCES)
            tools = open_registry(config, ["home"]).offered()
            report["listening"] = b.bench_listening(config, 10.0 if quick else 60.0)
            report["stages_ms"] = b.bench_stages(config, tools, limit)
            report["end_of_speech_to_first_audio_ms"] = asyncio.run(b.bench_path(config, limit=limit))
            report["memory"] = b.bench_memory(config)
    if as_json:
        print_json(report)
    else:
        show(report)


def show(report: dict[str, Any], indent: int = 0) -> None:
    """The same as the JSON, for a person."""
    for name, value in report.items():
        label = " " * indent + str(name).replace("_", " ")
        if isinstance(value, dict):
            if set(value) >= {"p50", "p95"} and not any(isinstance(each, dict) for each in value.values()):
                more = "".join(f", {k.replace('_', ' ')} {v}" for k, v in value.items() if k not in ("n", "p50", "p95"))
                click.echo(f"{label:<44} p50 {value['p50']:>8}  p95 {value['p95']:>8}  (n {value.get('n', '')}{more})")
            else:
                click.secho(label, bold=indent == 0)
                show(value, indent + 2)
        else:
            click.echo(f"{label:<44} {value}")

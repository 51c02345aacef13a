"""voice-needle eval soak: a day of simulated listening, and what it did to memory, timers and the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json, print_table

SAMPLES = ("memory_mb", "allocated_mb")  # one for each minute: for the report and the plot


@click.command()
@click.option("--hours", type=float, default=24.0, show_default=True, help="Simulated hours.")
@click.option("--minutes", type=float, help="Instead of --hours.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another day.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Memory over time, as PNG.")
@click.option(
    "--report", "kept", type=click.Path(path_type=Path, dir_okay=False), help="JSON file, written after each simulated hour."
)
@config_options
@json_option
def soak(
    hours: float,
    minutes: float | None,
    seed: int,
    plot: Path | None,
    kept: Path | None,
    config_file: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Listen for a simulated day: speech, noise, silence, unplugging, broker restarts, timers. Exit code 1 for a problem."""
    from voice_needle.evaluation.soak import save
    from voice_needle.evaluation.soak import soak as run
    from voice_needle.evaluation.soak_report import picture

    def progress(report: dict[str, Any]) -> None:
        if kept is not None:
            save(report, kept)
        if not as_json:
            held = report["memory_mb"][-1][1]
            click.echo(f"{report['simulated_hours']:5.1f} h  {held:5.0f} MB  {len(report['problems'])} problems", err=True)

    config = configuration.load(config_file, profile)
    report = run(config, minutes / 60.0 if minutes is not None else hours, seed, progress)
    if kept is not None:
        save(report, kept)
    if plot is not None:
        picture(report, plot)
    if as_json:
        print_json({name: value for name, value in report.items() if name not in SAMPLES})
    else:
        rows = [(name, value) for name, value in report.items() if name not in (*SAMPLES, "problems")]
        print_table(("soak", ""), rows)
        for problem in report["problems"]:
            click.secho(problem, fg="red")
    if not report["ok"]:
        raise SystemExit(1)

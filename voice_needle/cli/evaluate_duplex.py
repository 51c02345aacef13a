"""voice-needle eval duplex: conversations with interruptions; commands over our own voice; our own voice and noises alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json
from voice_needle.config import Config

if TYPE_CHECKING:
    from voice_needle.evaluation.duplex_script import Scenario


@click.command()
@click.argument("plugins", nargs=-1)
@click.option("--text", is_flag=True, help="Words straight into the conversation: no room, no recogniser.")
@click.option("--limit", type=int, help="Only every n-th scenario, so that about LIMIT remain.")
@click.option("--echo", "echo_db", type=float, default=0.0, show_default=True, help="Our voice against the user's, dB.")
@click.option("--clip", type=float, default=0.0, show_default=True, help="Soft clipping of the loudspeaker; 3 is much.")
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="A time line of each failure, as PNG, in this folder."
)
@click.option(
    "--double-talk",
    type=int,
    metavar="N",
    help="Instead: N commands over our voice, ours and other cancellers in turn.",
)
@click.option(
    "--cancellers",
    default="ours,aec3 alone,speexdsp alone",
    show_default=True,
    help="Those of --double-talk; all: all.",
)
@click.option("--barge-in", type=int, metavar="N", help="Instead: N interruptions at echo 0, +6 and +12 dB.")
@click.option("--own-voice", type=float, metavar="MINUTES", help="Instead: our own voice alone in hard rooms.")
@click.option("--noises", type=float, metavar="MINUTES", help="Instead: our voice beside doors, coughs and music.")
@click.option("--snr", type=float, default=10.0, show_default=True, help="Of the noises, under a user's speech, dB.")
@click.option(
    "--background",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A recorded noise, 16 kHz, for --noises.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep each finished part in this file and skip those in it: go on with a run that was cut off.",
)
@config_options
@json_option
def duplex(
    plugins: tuple[str, ...],
    text: bool,
    limit: int | None,
    echo_db: float,
    clip: float,
    pictures: Path | None,
    double_talk: int | None,
    cancellers: str,
    barge_in: int | None,
    own_voice: float | None,
    noises: float | None,
    snr: float,
    background: Path | None,
    keep: Path | None,
    config_file: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Whole conversations with interruptions, in a simulated room or on text: what was done, and when."""
    config = configuration.load(config_file, profile)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Sessions", total=None)

        def told(line: str, done: int, of: int) -> None:
            progress.update(task, description=line, completed=done, total=of)
            if not console.is_terminal:
                click.echo(f"{done} of {of}: {line}", err=True)

        if double_talk is not None or barge_in is not None:
            report, title = _trials(config, double_talk, barge_in, cancellers, keep, told)
        elif own_voice is not None or noises is not None:
            report, title = _alone(config, own_voice, noises, snr, background, keep, told), ""
        else:
            _conversations(config, _scenarios(plugins, limit), None if text else echo_db, clip, pictures, as_json, told)
            return
    if as_json or not title:
        print_json(report)
    else:
        from voice_needle.evaluation.duplex_bench import table

        Console().print(table(report, title))


Told = Callable[[str, int, int], None]


def _trials(
    config: Config, double_talk: int | None, barge_in: int | None, names: str, keep: Path | None, told: Told
) -> tuple[dict[str, Any], str]:
    from voice_needle.evaluation import duplex_bench as bench
    from voice_needle.evaluation.duplex_rivals import cancellers

    if barge_in is not None:
        shards, title = bench.barge_in_shards(barge_in), "interruptions, by how loud our voice is at the microphone"
    else:
        known = cancellers()
        wanted = list(known) if names == "all" else [name.strip() for name in names.split(",")]
        for name in wanted:
            if name not in known:
                what = "pip install livekit" if name == "aec3 alone" else f"there are {', '.join(known)}"
                raise click.UsageError(f"there is no canceller {name!r} here: {what}")
        shards, title = bench.double_talk_shards(double_talk or 0, wanted), "commands over our own voice, echo 0 dB"
    return bench.run(shards, config, keep, told), title


def _alone(
    config: Config,
    own_voice: float | None,
    noises: float | None,
    snr_db: float,
    background: Path | None,
    keep: Path | None,
    told: Told,
) -> dict[str, Any]:
    import soundfile

    from voice_needle.audio import SAMPLE_RATE_HZ
    from voice_needle.evaluation import own_voice as alone

    recorded = None
    if background is not None:
        recorded, rate = soundfile.read(background, dtype="int16")
        if rate != SAMPLE_RATE_HZ or recorded.ndim != 1:
            raise click.UsageError(f"{background} is not 16 kHz mono")
    sessions = alone.in_hard_rooms(own_voice) if own_voice is not None else []
    sessions += alone.with_noises(noises, recorded is not None, snr_db) if noises is not None else []
    return alone.run(sessions, config, keep=keep, background=recorded, progress=told)


def _scenarios(plugins: tuple[str, ...], limit: int | None) -> list[Scenario]:
    from voice_needle.evaluation.duplex_script import load_all

    scenarios = load_all(plugins)
    return scenarios[:: max(1, len(scenarios) // limit)] if limit else scenarios


def _conversations(
    config: Config,
    scenarios: list[Scenario],
    echo_db: float | None,
    clip: float,
    pictures: Path | None,
    as_json: bool,
    told: Told,
) -> None:
    """echo_db: None for words straight into the conversation."""
    from voice_needle.evaluation import duplex_report
    from voice_needle.evaluation.duplex import Performance, run_all
    from voice_needle.evaluation.room import Acoustics

    drawn: list[str] = []
    done = failed = 0

    def each(show: Performance) -> None:
        nonlocal done, failed
        done, failed = done + 1, failed + bool(show.problems)
        if show.problems and pictures is not None:
            drawn.append(str(duplex_report.picture(show, pictures)))  # at once: a run that is cut off has its pictures
        told(f"{failed} failed; {show.scenario.plugin}: {show.scenario.name}", done, len(scenarios))

    acoustics = Acoustics(echo_db=echo_db, clip=clip)
    shows = run_all(scenarios, config, text=echo_db is None, acoustics=acoustics, progress=each)
    report = duplex_report.summary(shows)
    if pictures is not None:
        report["pictures"] = drawn
    if as_json:
        print_json(report)
        return
    Console().print(duplex_report.table(report, "text" if echo_db is None else f"audio, echo {echo_db:+.0f} dB"))

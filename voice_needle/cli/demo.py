"""voice-needle demo: three spoken requests, one for each bundled world, through the whole path in real time.

Nothing is played back from a recording of success: the requests are synthesised by flite, go through VAD, recogniser, router
and dispatcher, and what is shown as the effect is read from the broker's house, the stock database and the CAN bus.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from voice_needle import config as configuration
from voice_needle.audio import SAMPLE_RATE_HZ, Samples, to_samples
from voice_needle.cli.run import Display
from voice_needle.clock import RealClock
from voice_needle.events import Event


@dataclass(frozen=True)
class Request:
    """One spoken request. probe: what the back end itself says about the effect, before and after."""

    plugin: str
    voice: str
    text: str
    probe: Callable[[Any], str]


def lamp(world: Any) -> str:
    return f"the kitchen light's state topic says {world.house.real['kitchen light']['state']}"


def row(world: Any) -> str:
    import sqlite3

    with sqlite3.connect(world.file) as db:
        found = db.execute("select quantity from stock where bin = 'A14' and sku = '472-B'").fetchone()
    return f"the database row of hex bolts in A14 holds {found[0]}" if found else "the database has no such row"


def frame(world: Any) -> str:
    seen = [name for name, _ in world.vehicle.seen]
    at = world.vehicle.body[("ClimateStatus", 0)]["Temperature"]
    return f"the driver's climate is at {at:g} degrees; frames on the bus: {', '.join(seen) or 'none'}"


REQUESTS = (
    Request("home", "slt", "turn on the kitchen light", lamp),
    Request("warehouse", "rms", "pick five hex bolts from a fourteen", row),
    Request("in_car", "slt", "set the driver temperature to twenty three degrees", frame),
)
GAP_MS = 7_500  # between two requests: time for the answer


def conversation_of(requests: tuple[Request, ...]) -> Samples:
    """All requests on one time line, with room for the answers. Errors: EngineMissing without flite."""
    from voice_needle.evaluation.synthetic_speech import speak

    parts = [np.zeros(to_samples(700), np.int16)]
    for request in requests:
        parts += [speak(request.text, request.voice), np.zeros(to_samples(GAP_MS), np.int16)]
    return np.concatenate(parts)


@click.command()
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Where the sound and the picture go.",
)
def demo(folder: Path) -> None:
    """Three spoken requests, three real effects, and a picture of the sound."""
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_demo(folder))


async def _demo(folder: Path) -> None:
    import soundfile

    from voice_needle.assembly import open_assistant, open_registry
    from voice_needle.evaluation.scenarios import effects_of
    from voice_needle.trace import Trace

    config = configuration.load()
    question, answer = folder / "requests.wav", folder / "answers.wav"
    soundfile.write(question, conversation_of(REQUESTS), SAMPLE_RATE_HZ, subtype="PCM_16")
    events: list[Event] = []
    show = Display()

    def emit(event: Event) -> None:
        events.append(event)
        show(event)

    async with AsyncExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plugins = [request.plugin for request in REQUESTS]
        config = replace(config, data_dir=scratch / "data")
        registry = open_registry(config, plugins)
        worlds: dict[str, Any] = {}
        for name in plugins:
            place = scratch / name
            place.mkdir()
            worlds[name] = await stack.enter_async_context(effects_of(name, registry.plugins[name].folder).world(place))
        config = replace(config, plugins={name: dict(world.settings) for name, world in worlds.items()})
        click.echo(
            "A Mosquitto broker with a simulated house, an SQLite stock database and a virtual CAN bus are running."
        )
        click.echo("Preparing the recogniser for their sentences (once; kept afterwards on a real device) ...")
        clock = RealClock()
        trace_file = stack.enter_context((folder / "trace.jsonl").open("w", encoding="utf-8"))
        assistant = await stack.enter_async_context(
            open_assistant(
                config,
                clock,
                registry,
                input_file=question,
                output_file=answer,
                realtime=True,
                trace=Trace(trace_file),
                emit=emit,
            )
        )
        before = {request.plugin: request.probe(worlds[request.plugin]) for request in REQUESTS}
        started_ms = clock.monotonic() * 1000
        await assistant.run()
        click.echo()
        for request in REQUESTS:
            click.secho(f"{request.plugin}: ", bold=True, nl=False)
            click.echo(f'"{request.text}"')
            click.echo(f"  before: {before[request.plugin]}")
            click.echo(f"  after:  {request.probe(worlds[request.plugin])}")
    from voice_needle.evaluation.picture import draw

    picture = folder / "demo.png"
    draw(question, answer, events, started_ms, picture)
    click.echo(f"\nWrote {question}, {answer}, {folder / 'trace.jsonl'} and {picture}")

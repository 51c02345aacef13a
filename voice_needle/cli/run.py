"""voice-needle run: the assistant itself, on the microphone or on a sound file."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option
from voice_needle.clock import Clock, RealClock, ScriptedClock
from voice_needle.errors import VoiceNeedleError
from voice_needle.events import Event

if TYPE_CHECKING:
    from voice_needle.assistant import Assistant
    from voice_needle.fleet import Fleet


@click.command()
@click.option(
    "--input",
    "input_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="WAV or FLAC in place of the microphone; - is raw 16 kHz int16 on standard input.",
)
@click.option(
    "--output",
    "output_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="WAV in place of the speaker, on the same time line.",
)
@click.option("--realtime", is_flag=True, help="With --input: at the speed of sound, not as fast as possible.")
@click.option("--plugin", "plugins", multiple=True, metavar="NAME", help="Only this plugin; may be given again.")
@click.option(
    "--trace", "trace_file", metavar="FILE", type=click.Path(path_type=Path), help="Append the trace lines to FILE."
)
@config_options
@json_option
def run(
    input_file: Path | None,
    output_file: Path | None,
    realtime: bool,
    plugins: tuple[str, ...],
    trace_file: Path | None,
    config_file: Path | None,
    profile: str | None,
    as_json: bool,
) -> None:
    """Listen, understand, act, answer. With --json, one trace line a turn on standard output."""
    from voice_needle import last_words, remote_config
    from voice_needle.assembly import open_assistant, open_registry
    from voice_needle.fleet import reporting
    from voice_needle.trace import Trace
    from voice_needle.watchdog import watched

    afar = remote_config.of(configuration.load(config_file, profile, remote=False))
    if afar is not None:
        afar.starting()
    try:
        config = configuration.load(config_file, profile)
        registry = open_registry(config, plugins or None)
    except VoiceNeedleError as error:
        if afar is not None and afar.failed(error):
            again()
        raise
    for problem in registry.problems:
        click.secho(str(problem), err=True, fg="yellow")
    scripted = input_file is not None and str(input_file) != "-" and not realtime
    clock: Clock = ScriptedClock(RealClock().now()) if scripted else RealClock()
    out = trace_file.open("a", encoding="utf-8") if trace_file else sys.stdout if as_json else None
    show = Display(quiet=as_json)
    wanted = threading.Event()  # a new configuration came: start again

    async def listen() -> None:
        async with AsyncExitStack() as stack:
            emit, fleet = stack.enter_context(reporting(config, show, wanted.set))
            assistant = await stack.enter_async_context(open_assistant(
                config, clock, registry, input_file=input_file, output_file=output_file, realtime=realtime,
                trace=Trace(out), emit=emit,
            ))  # fmt: skip
            task = asyncio.ensure_future(assistant.run())
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            if input_file is None:
                click.echo("Listening. Speak; Ctrl-C ends.", err=True)
            async with watched(assistant):
                if fleet is not None:
                    stack.push_async_callback(stopped, asyncio.ensure_future(keep(assistant, fleet, wanted, task)))
                await task

    try:
        asyncio.run(listen())
    except asyncio.CancelledError:
        if wanted.is_set():
            again()
        raise KeyboardInterrupt from None
    except VoiceNeedleError as error:
        if afar is not None and afar.failed(error):
            again()
        last_words.tell(config, error)
        raise
    finally:
        if trace_file and out is not None:
            out.close()


async def keep(assistant: Assistant, fleet: Fleet, wanted: threading.Event, task: asyncio.Task[None]) -> None:
    """A configuration that has listened for a while stays; one that came takes effect when nothing is going on."""
    since = math.inf  # the first frame

    def listening() -> None:
        nonlocal since
        since = min(since, time.monotonic())
        before()

    before, assistant.progress = assistant.progress, listening
    while not (wanted.is_set() and assistant.idle):
        await asyncio.sleep(0.2)
        if time.monotonic() - since >= assistant.config.fleet.trial_s:
            assistant.progress = before
            fleet.settled()
            since = math.inf
    task.cancel()


async def stopped(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def again() -> NoReturn:
    """Start anew, with the configuration as it is now: systemd does it, or this process becomes its own successor."""
    if os.environ.get("NOTIFY_SOCKET"):
        raise SystemExit(os.EX_TEMPFAIL)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "voice_needle", *sys.argv[1:]])


class Display:
    """What happens, for a person at a terminal: what was heard, what is done, what is said."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def __call__(self, event: Event) -> None:
        from voice_needle import events

        if self.quiet:
            return
        match event:
            case events.Heard(transcript=transcript) if transcript.final:
                click.secho("heard   ", fg="cyan", nl=False, err=True)
                click.echo(transcript.text or f"(nothing: {transcript.refused or 'silence'})", err=True)
            case events.Decided(decision=decision):
                calls = "; ".join(
                    f"{c.tool}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})" for c in decision.calls
                )
                click.secho("decided ", fg="cyan", nl=False, err=True)
                act = f" {decision.act.value}" if decision.act else ""
                click.echo(
                    f"{decision.outcome.value}{act} {calls}  [{decision.confidence:.2f} {decision.reason}]", err=True
                )
            case events.CallEnded(result=result):
                click.secho("did     ", fg="green" if result.ok else "red", nl=False, err=True)
                click.echo(f"{result.call.tool}: {result.status.value} {result.error}".rstrip(), err=True)
            case events.AnswerEnded(said=said, unsaid=unsaid) if said or unsaid:
                click.secho("said    ", fg="cyan", nl=False, err=True)
                click.echo(said + (f"  (cut: {unsaid})" if unsaid else ""), err=True)
            case events.Fault(spoken=spoken, fix=fix):
                click.secho(f"fault   {spoken} Fix: {fix}", fg="red", err=True)

"""One stage at a time: `say`, `transcribe`, `route` and `call`, for trying things out and for scripts."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, decide, json_option, print_json
from voice_needle.clock import RealClock
from voice_needle.errors import BadToolSchema
from voice_needle.events import Call, ToolResult
from voice_needle.settings_file import nearest
from voice_needle.tools import Tool, Toolset
from voice_needle.trace import decision_line, result_line, transcript_line


@click.command()
@click.argument("text")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write a WAV file instead of playing.")
@click.option("--voice", metavar="NAME", help="auto, piper, espeak or flite.")
@config_options
def say(text: str, output: Path | None, voice: str | None, config_file: Path | None, profile: str | None) -> None:
    """Speak TEXT with the assistant's voice."""
    from voice_needle.assembly import make_sink, make_voice
    from voice_needle.speak.speaker import Speaker

    config = configuration.load(config_file, profile)

    async def speak() -> None:
        engine = make_voice(config, voice)
        clock = RealClock()
        sink = make_sink(config, clock, output)
        await engine.start()
        await sink.start()
        try:
            await Speaker(engine, sink).say(text)
        finally:
            await sink.close()
            await engine.close()

    asyncio.run(speak())


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--engine", metavar="NAME", help="auto, sphinx or whisper.")
@config_options
@json_option
def transcribe(file: Path, engine: str | None, config_file: Path | None, profile: str | None, as_json: bool) -> None:
    """Print the words of each utterance in FILE (WAV or FLAC)."""
    from voice_needle.assembly import make_recogniser, open_registry
    from voice_needle.evaluation.utterances import utterances_of

    config = configuration.load(config_file, profile)
    recogniser = make_recogniser(config, engine)
    recogniser.prepare(open_registry(config).offered())
    lines = []
    for utterance in utterances_of(file, config.listen):
        started = time.perf_counter()
        transcript = recogniser.transcribe(utterance)
        line = {
            "start_ms": utterance.speech_start_ms,
            "end_ms": utterance.speech_end_ms,
            **transcript_line(transcript),
            "ms": round((time.perf_counter() - started) * 1000, 1),
        }
        lines.append(line)
        if not as_json:
            click.echo(transcript.text or f"(nothing usable: {transcript.refused or 'silence'})")
    recogniser.close()
    if as_json:
        print_json(lines)
    elif not lines:
        click.echo("(nobody speaks in this file)", err=True)


def read_tools(file: Path) -> Toolset:
    """Tools from a JSON file: a list of schemas in OpenAI's function form. Errors: BadToolSchema."""
    try:
        return Toolset(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadToolSchema(
            f"I cannot use the tools in {file}: {error}",
            fix='give a JSON list of {"name", "description", "parameters"} objects',
        ) from error


@click.command()
@click.argument("text")
@click.option(
    "--tools", "tools_file", type=click.Path(path_type=Path), help="JSON list of tool schemas, not the plugins."
)
@click.option("--router", metavar="NAME", help="auto, templates, stitch, needle, bm25 or always-decline.")
@config_options
@json_option
def route(
    text: str, tools_file: Path | None, router: str | None, config_file: Path | None, profile: str | None, as_json: bool
) -> None:
    """Print the decision for TEXT: which calls, and whether to act, confirm, ask or decline."""
    from voice_needle.assembly import open_registry

    config = configuration.load(config_file, profile)
    tools = read_tools(tools_file) if tools_file else open_registry(config).offered()
    decision = decide(text, tools, config, router)
    if as_json:
        print_json(decision_line(decision))
        return
    click.secho(f"{decision.outcome.value}", bold=True, nl=False)
    click.echo(f"  confidence {decision.confidence:.2f}, {decision.router}: {decision.reason}")
    for call in decision.calls:
        click.echo(f"  {call.tool}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})")
    if decision.question:
        asked = decision.question
        click.echo(f"  asks for {asked.tool}.{asked.parameter or '?'}: {asked.kind} {asked.detail}".rstrip())


def typed(tool: Tool, name: str, text: str) -> Any:
    """A `k=v` from the command line, as the type that the tool declares."""
    kind = tool.properties.get(name, {}).get("type")
    if kind in ("number", "integer", "boolean", "array", "object"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


@click.command()
@click.argument("tool")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--yes", is_flag=True, help="Do not ask, even where the tool's policy wants a confirmation.")
@config_options
@json_option
def call(
    tool: str, arguments: tuple[str, ...], yes: bool, config_file: Path | None, profile: str | None, as_json: bool
) -> None:
    """Execute TOOL with NAME=VALUE arguments, through the same policy and ledger as a spoken request."""
    from voice_needle.assembly import open_registry, open_tooling

    config = configuration.load(config_file, profile)
    registry = open_registry(config)
    known = registry.tool(tool)
    given: dict[str, Any] = {}
    for each in arguments:
        name, equals, value = each.partition("=")
        if not equals or name not in known.properties:
            hint = nearest(name, list(known.properties)) or f"; {tool} takes {', '.join(known.properties) or 'nothing'}"
            raise click.UsageError(f"`{each}` is no argument of {tool}{hint}")
        given[name] = typed(known, name, value)
    wanted = Call(tool, given)

    async def execute() -> ToolResult:
        async with open_tooling(config, RealClock(), registry=registry) as tooling:
            if not yes and tooling.dispatcher.to_confirm([wanted], 1.0):
                click.confirm(f"{tool} asks for a confirmation. Do it?", abort=True, err=True)
            return (await tooling.dispatcher.execute([wanted], confirmed=True))[0]

    result = asyncio.run(execute())
    if as_json:
        print_json(result_line(result))
    else:
        click.secho(result.status.value, bold=True, fg="green" if result.ok else "red", nl=False)
        values = ", ".join(f"{name}={value!r}" for name, value in result.values.items())
        click.echo(f"  {result.error or values}")
    if not result.ok:
        raise SystemExit(1)

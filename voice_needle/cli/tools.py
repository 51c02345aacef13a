"""voice-needle tools: what can be asked for, whether it is written well, what a sentence would do, and a new plugin."""

from __future__ import annotations

from pathlib import Path

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, decide, json_option, print_json, print_table
from voice_needle.clock import RealClock
from voice_needle.errors import ConfigError
from voice_needle.tools import Confirm, Risk, Tool, Toolset
from voice_needle.trace import decision_line


@click.group()
def tools() -> None:
    """List, check, try and make tools."""


@tools.command(name="list")
@click.option("--plugin", metavar="NAME", help="Only this plugin's tools.")
@click.option("--all", "every", is_flag=True, help="Also the plugins that are not enabled.")
@config_options
@json_option
def list_(plugin: str | None, every: bool, config_file: Path | None, profile: str | None, as_json: bool) -> None:
    """Every tool with its parameters and its risk."""
    from voice_needle.assembly import open_registry

    config = configuration.load(config_file, profile)
    registry = open_registry(config, [plugin] if plugin else None, every=every)
    found = list(registry.toolset().values())
    if as_json:
        print_json([{**tool.schema(), "plugin": tool.plugin, "risk": tool.policy.risk.value} for tool in found])
        return
    print_table(
        ("plugin", "tool", "parameters", "risk", "what it does"),
        [(tool.plugin, tool.name, _parameters(tool), tool.policy.risk.value, tool.description) for tool in found],
    )


def _parameters(tool: Tool) -> str:
    return ", ".join(name if name in tool.required else f"[{name}]" for name in tool.properties)


@tools.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_options
@json_option
def check(folders: tuple[Path, ...], config_file: Path | None, profile: str | None, as_json: bool) -> None:
    """Report every mistake in every manifest (or in FOLDERS), with file:line, and what will confuse people or the router."""
    from voice_needle.assembly import open_registry
    from voice_needle.dispatch import manifest

    config = configuration.load(config_file, profile)
    if folders:
        loaded = [manifest.load(folder) for folder in folders]
        problems = [problem for _, found in loaded for problem in found]
        toolset = Toolset(tool for plugin, _ in loaded if plugin for tool in plugin.tools)
    else:
        registry = open_registry(config)
        problems, toolset = list(registry.problems), registry.offered()
    advice = [*advise(toolset), *confusable(toolset)]
    if as_json:
        print_json({"mistakes": [str(each) for each in problems], "advice": advice, "tools": len(toolset)})
    else:
        for problem in problems:
            click.secho(str(problem), fg="red")
        for line in advice:
            click.secho(line, fg="yellow")
        click.echo(f"{len(toolset)} tools, {len(problems)} mistakes, {len(advice)} pieces of advice")
    if problems:
        raise SystemExit(2)


def advise(toolset: Toolset) -> list[str]:
    """What a manifest may lawfully say and still should not."""
    lines = []
    for tool in toolset.values():
        if not tool.description:
            lines.append(f"{tool.name}: no description; the router reads it to know when the tool is meant")
        if not tool.sentences:
            lines.append(f"{tool.name}: no sentences; the embedded recogniser cannot hear how it is asked for")
        if tool.policy.risk is Risk.HIGH and tool.policy.confirm is Confirm.NEVER:
            lines.append(f"{tool.name}: high risk, and nobody is asked; set policy.confirm: always")
        if not tool.say.success:
            lines.append(f'{tool.name}: no `say.success`; it will answer with a bare "Done"')
        for name in tool.required:
            if name not in tool.say.questions:
                lines.append(
                    f'{tool.name}.{name}: no question; when it is missing, "Which {name.replace("_", " ")}?" is asked'
                )
    return lines


def confusable(toolset: Toolset, alike: float = 0.92) -> list[str]:
    """Pairs of tools whose schemas the embedded router can hardly tell apart: cosine similarity of its own vectors."""
    from voice_needle.errors import EngineError

    try:
        from voice_needle.route.stitch.engine import StitchRouter

        pairs = StitchRouter().similar(toolset, alike)
    except EngineError:
        return []
    return [
        f"{one} and {other}: hard to tell apart ({score:.2f}); say in each description what the other does not do"
        for one, other, score in pairs
    ]


@tools.command(name="try")
@click.argument("text")
@click.option("--router", metavar="NAME", help="auto, templates, stitch, needle, ...")
@config_options
@json_option
def try_(text: str, router: str | None, config_file: Path | None, profile: str | None, as_json: bool) -> None:
    """Show what TEXT would do, with the words that support each argument. Nothing is executed."""
    from voice_needle.assembly import open_registry
    from voice_needle.speak.phrasing import Phrasebook

    config = configuration.load(config_file, profile)
    toolset = open_registry(config).offered()
    decision = decide(text, toolset, config, router)
    if as_json:
        print_json(decision_line(decision))
        return
    click.secho(f"{decision.outcome.value}  ", bold=True, nl=False)
    click.echo(f"confidence {decision.confidence:.2f}, by {decision.router}: {decision.reason}")
    for call in decision.calls:
        click.echo(f"  {call.tool}")
        for name, value in call.arguments.items():
            click.echo(f'    {name} = {value!r}  from "{call.evidence.get(name, "")}"')
    if decision.question:
        click.echo(f"  asks: {Phrasebook(RealClock()).question(decision.question, toolset)}")


@tools.command()
@click.argument("name")
@click.option("--into", metavar="DIR", type=click.Path(path_type=Path), help="Where; your own tools folder by default.")
def new(name: str, into: Path | None) -> None:
    """Make a plugin called NAME that works: manifest, handler, scenarios and a test."""
    from voice_needle.cli.scaffold import write_plugin
    from voice_needle.dispatch.registry import user_folder

    if not name.isidentifier() or name != name.lower():
        raise ConfigError(
            f"`{name}` cannot name a plugin: lower-case letters, digits and _ only",
            fix=f"voice-needle tools new {''.join(c if c.isalnum() else '_' for c in name.lower()).strip('_') or 'my_plugin'}",
        )
    folder = (into or user_folder()) / name
    for file in write_plugin(folder, name):
        click.echo(f"wrote {file}")
    click.echo(
        f"\nTry it:   voice-needle tools try 'ask {name.replace('_', ' ')} about the weather'"
        f"\nRun it:   voice-needle run --plugin {name}"
        f"\nTest it:  python -m pytest {folder}"
    )

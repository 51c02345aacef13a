"""voice-needle models: list, pull, verify, remove, bundle. The only command that uses a network, and only when told to."""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from voice_needle import config as configuration
from voice_needle import models as store
from voice_needle.assembly import models_dir
from voice_needle.cli.common import config_options, json_option, print_json, print_table
from voice_needle.errors import VoiceNeedleError
from voice_needle.model_sources import Hub, open_source


@click.group()
def models() -> None:
    """Models on this device. Nothing here is fetched unless you type `pull`; the appliance itself never does."""


@models.command("list")
@config_options
@json_option
def list_models(config_file: Path | None, profile: str | None, as_json: bool) -> None:
    """What there is to have, what is installed, and what it costs in memory."""
    config = configuration.load(config_file, profile)
    rows = store.describe(models_dir(config))
    if as_json:
        print_json({"models_dir": models_dir(config), "budget_mb": config.budget.memory_mb, "models": rows})
        return
    print_table(
        ("model", "installed", "disk", "memory", "what", "licence"),
        [
            (r["name"], "yes" if r["installed"] else "", f"{r['size_mb']} MB", f"{r['memory_mb']} MB" if r["memory_mb"] else "", r["what"], r["licence"])
            for r in rows
        ],
    )  # fmt: skip
    click.echo(
        f"\nIn {models_dir(config)}. The profile {config.profile} has {config.budget.memory_mb} MB for everything."
    )


@models.command()
@click.argument("names", nargs=-1)
@click.option(
    "--from",
    "place",
    metavar="PLACE",
    help="URL of a mirror, a folder, a bundle (FILE.tar), or `usb`. Default: the hub.",
)
@click.option("--hub", metavar="URL", help="Another hub with the same paths.")
@config_options
def pull(
    names: tuple[str, ...], place: str | None, hub: str | None, config_file: Path | None, profile: str | None
) -> None:
    """Copy models to this device. Without NAMES: what the configuration asks for."""
    config = configuration.load(config_file, profile)
    known = store.catalogue()
    source = Hub(hub.rstrip("/"), known) if hub else open_source(place, known)
    for name in names or wanted(config):
        if isinstance(source, Hub):
            store.check_name(name, known)
        with Bar(name) as bar:
            folder = store.pull(name, source, models_dir(config), bar)
        click.echo(f"{name} is in {folder}")


def wanted(config: configuration.Config) -> list[str]:
    """The models that this configuration would use if they were there."""
    names = []
    if config.transcribe.engine != "sphinx" and not Path(config.transcribe.whisper_model).is_dir():
        names.append(f"whisper-{config.transcribe.whisper_model.removeprefix('whisper-')}")
    if config.speak.engine in ("auto", "piper"):
        voice = config.speak.voice.removeprefix("piper-") or "en_US-lessac-low"
        names.append(f"piper-{voice}")
    if not names:
        raise click.UsageError("This configuration uses only embedded models; name one: voice-needle models list")
    return names


class Bar:
    """A progress bar on a terminal; one line a file elsewhere."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), transient=True
        )
        self._name, self._tasks = name, dict[str, TaskID]()

    def __call__(self, file: str, done: int, total: int) -> None:
        if file not in self._tasks:
            self._tasks[file] = self._progress.add_task(f"{self._name}: {file}", total=total)
        self._progress.update(self._tasks[file], completed=done, total=total)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


@models.command()
@click.argument("names", nargs=-1)
@config_options
@json_option
@click.pass_context
def verify(
    ctx: click.Context, names: tuple[str, ...], config_file: Path | None, profile: str | None, as_json: bool
) -> None:
    """Compare installed models with their checksums. Exit code 1 when one is damaged."""
    folder = models_dir(configuration.load(config_file, profile))
    found = {name: store.verify(name, folder) for name in names or store.installed(folder)}
    if as_json:
        print_json(found)
    else:
        for name, wrong in found.items():
            click.secho(f"{'damaged' if wrong else 'ok':<8}", fg="red" if wrong else "green", nl=False)
            click.echo(name + (f": {'; '.join(wrong)}\n        Fix: voice-needle models pull {name}" if wrong else ""))
        if not found:
            click.echo("No model is installed; the embedded recogniser, router and voice need none.")
    if any(found.values()):
        ctx.exit(1)


@models.command()
@click.argument("names", nargs=-1, required=True)
@config_options
def remove(names: tuple[str, ...], config_file: Path | None, profile: str | None) -> None:
    """Delete models from this device."""
    folder = models_dir(configuration.load(config_file, profile))
    for name in names:
        click.echo(f"{name} removed: {store.remove(name, folder) // store.MB} MB freed")


@models.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1)
@config_options
def bundle(file: Path, names: tuple[str, ...], config_file: Path | None, profile: str | None) -> None:
    """Write installed models (NAMES, or all) into FILE.tar, for `models pull NAME --from FILE.tar` elsewhere."""
    folder = models_dir(configuration.load(config_file, profile))
    chosen = names or tuple(store.installed(folder))
    if not chosen:
        raise VoiceNeedleError("No model is installed", fix="voice-needle models pull NAME")
    size = store.bundle(chosen, folder, file)
    click.echo(f"{file}: {', '.join(chosen)}, {size // store.MB} MB")

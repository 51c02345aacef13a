"""voice-needle bundle: one signed configuration for many devices."""

from __future__ import annotations

import time
from pathlib import Path

import click

from voice_needle import bundle as bundles
from voice_needle.config import SYSTEM_DIR

folder_option = click.option(
    "--to", "folder", type=click.Path(path_type=Path), default=SYSTEM_DIR, show_default=True, help="The device's configuration."
)
RESTART = "Then: sudo systemctl restart voice-needle-setup voice-needle"


@click.group()
def bundle() -> None:
    """Make, verify, apply and take back a signed configuration."""


@bundle.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path, exists=True), required=True, help="A private ssh key: ssh-keygen -t ed25519 -f KEY")
def make(source: Path, out: Path, key: Path) -> None:
    """Sign config.yaml, secrets, tools.d and devices.d of the folder SOURCE into the file OUT."""
    made = bundles.make(source, key, out)
    click.echo(f"{out}: {len(made.files)} files, serial number {made.serial}")


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--signers", type=click.Path(path_type=Path), help="Default: bundle.signers of this device.")
def verify(file: Path, signers: Path | None) -> None:
    """Check signature and content of FILE, and list it."""
    found = bundles.read(file, signers or SYSTEM_DIR / "bundle.signers")
    bundles.check(found.files, str(file))
    click.echo(f"{file} is well signed: serial number {found.serial}, made {time.strftime('%Y-%m-%d %H:%M', time.localtime(found.serial))}")
    for name, data in sorted(found.files.items()):
        click.echo(f"  {name}  {len(data)} bytes")


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@folder_option
def apply(file: Path, folder: Path) -> None:
    """Put FILE's configuration in place."""
    found = bundles.apply(file, folder)
    click.echo(f"{len(found.files)} files of bundle {found.serial} are in {folder}. {RESTART}")


@bundle.command()
@folder_option
def rollback(folder: Path) -> None:
    """Take the last bundle back."""
    click.echo(f"{bundles.rollback(folder)} files are as they were. {RESTART}")

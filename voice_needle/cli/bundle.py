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


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--device", required=True, metavar="NAME", help="As its status topic calls it; `all`: every device that takes any.")
@click.option("--broker", required=True, metavar="URL", help="mqtts://[user:password@]HOST[:PORT]")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="Certificates that may vouch for the broker.")
@click.option("--certificate", type=click.Path(path_type=Path, exists=True), help="Your own, where the broker wants one.")
@click.option("--key", type=click.Path(path_type=Path, exists=True), help="Its private key.")
@click.option("--withdraw", is_flag=True, help="Take the message off the broker; devices keep what they have.")
def send(
    file: Path | None, device: str, broker: str, ca: Path | None, certificate: Path | None, key: Path | None, withdraw: bool
) -> None:
    """Leave the bundle FILE on a broker, retained: devices with `fleet: {remote: true}` take it when they next connect."""
    from voice_needle.config import Config, Fleet
    from voice_needle.fleet import ROOT
    from voice_needle.fleet import send as leave

    if (file is None) != withdraw:
        raise click.UsageError("give FILE, or --withdraw")
    settings = Fleet(broker=broker, ca=ca, certificate=certificate, key=key)
    leave(Config(fleet=settings), device, file.read_bytes() if file else b"")
    click.echo(f"{ROOT}/{device}/config {'is empty' if withdraw else f'holds {file}'}. The status topics tell what became of it.")

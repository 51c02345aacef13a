"""voice-needle doctor: this device, line by line, each with the fix to type."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from voice_needle import config as configuration
from voice_needle.cli.common import config_options, json_option, print_json
from voice_needle.config import Config
from voice_needle.doctor import FAIL, OK, WARN, Finding, Patient, examine, spoken
from voice_needle.errors import ConfigError, VoiceNeedleError

COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}


@click.command()
@click.option("--sound", is_flag=True, help="Also play a tone, show the microphone's level and test the echo.")
@click.option("--say", "aloud", is_flag=True, help="Speak a summary.")
@config_options
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, sound: bool, aloud: bool, config_file: Path | None, profile: str | None, as_json: bool
) -> None:
    """Examine this device. Exit code 1 when something fails."""
    config, found = _configuration(config_file, profile)
    more = None
    if sound:
        from voice_needle.doctor_sound import checks

        more = checks(meter if not as_json else lambda level: None)
    found += examine(Patient(config), more)
    if as_json:
        print_json({"ok": not any(f.state == FAIL for f in found), "findings": [dataclasses.asdict(f) for f in found]})
    else:
        show(found)
    if aloud:
        _say(config, spoken(found))
    if any(each.state == FAIL for each in found):
        ctx.exit(1)


def _configuration(file: Path | None, profile: str | None) -> tuple[Config, list[Finding]]:
    """The configuration, or the defaults and what is wrong with it."""
    try:
        return configuration.load(file, profile), [Finding("configuration", OK, "no mistakes")]
    except ConfigError as error:
        return Config(), [Finding("configuration", FAIL, line, error.fix) for line in str(error).splitlines()]


def show(found: list[Finding]) -> None:
    width = max(len(each.check) for each in found)
    for each in found:
        click.secho(f"{each.state:<5}", fg=COLOURS[each.state], nl=False)
        click.echo(f"{each.check:<{width}}  {each.what}")
        if each.fix:
            click.echo(f"{'':<{width + 7}}Fix: {each.fix}")


def meter(level: float) -> None:
    """One line on a terminal that moves with the sound."""
    bar = "#" * max(0, round((level + 80) / 2))
    click.echo(f"\r{level:6.0f} dB  {bar:<40}", nl=False, err=True)


def _say(config: Config, text: str) -> None:
    from voice_needle.last_words import say

    try:
        say(config, text)
    except VoiceNeedleError as error:
        click.echo(f"It cannot be said aloud: {error}. Fix: {error.fix}", err=True)

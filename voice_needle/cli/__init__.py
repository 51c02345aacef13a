"""The command line: one module a command group, each imported only when its command is typed."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from voice_needle import __version__
from voice_needle.errors import VoiceNeedleError

# command -> (module, attribute). The order is that of the help page.
COMMANDS = {
    "run": ("voice_needle.cli.run", "run"),
    "demo": ("voice_needle.cli.demo", "demo"),
    "say": ("voice_needle.cli.words", "say"),
    "transcribe": ("voice_needle.cli.words", "transcribe"),
    "route": ("voice_needle.cli.words", "route"),
    "call": ("voice_needle.cli.words", "call"),
    "tools": ("voice_needle.cli.tools", "tools"),
    "devices": ("voice_needle.cli.devices", "devices"),
    "doctor": ("voice_needle.cli.doctor", "doctor"),
    "models": ("voice_needle.cli.models", "models"),
    "eval": ("voice_needle.cli.evaluate", "evaluate"),
    "bench": ("voice_needle.cli.bench", "bench"),
    "train": ("voice_needle.cli.train", "train"),
}


class LazyGroup(click.Group):
    """Lists every command, imports only the one that runs: `voice-needle --help` must not load a model."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from voice_needle.settings_file import nearest

            raise click.UsageError(error.message.rstrip(".") + nearest(args[0], list(COMMANDS)) + ".", ctx) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """voice_needle: an offline voice assistant. Speech in, tool calls, spoken answers; no byte leaves this device."""


def main() -> None:
    """Entry point. Exit code 0; 2 for a mistake that the user can fix, with the fix; 130 after Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False)
    except VoiceNeedleError as error:
        click.secho(str(error), err=True, fg="red")
        click.echo(f"Fix: {error.fix}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        code = 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)

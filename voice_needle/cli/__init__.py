"""The command line: one module a command group, each imported only when its command is typed."""

from __future__ import annotations

import importlib
import os
import sys

import click

from voice_needle import __version__
from voice_needle.errors import VoiceNeedleError
from voice_needle.settings_file import nearest

# command -> (module, attribute, help line). The order is that of the help page.
COMMANDS = {
    "run": ("run", "run", "Listen and act: on the microphone, or on a sound file."),
    "demo": ("demo", "demo", "Three spoken requests, three real effects, and a picture of them."),
    "say": ("words", "say", "Speak a sentence, or write it to a WAV file."),
    "transcribe": ("words", "transcribe", "The words in a sound file."),
    "route": ("words", "route", "The decision for a sentence: calls, outcome, confidence."),
    "call": ("words", "call", "Execute one tool call by hand."),
    "tools": ("tools", "tools", "List, check, try and make tools."),
    "devices": ("devices", "devices", "Sound devices, board profiles, every option."),
    "doctor": ("doctor", "doctor", "Check this device; each line with the fix to type."),
    "models": ("models", "models", "List, pull and verify models."),
    "bundle": ("bundle", "bundle", "One signed configuration for many devices."),
    "eval": ("evaluate", "evaluate", "Accuracy on files: router, speech, duplex, scenarios."),
    "bench": ("bench", "bench", "Milliseconds, memory and idle load of this machine."),
    "train": ("train", "train", "Train or fine-tune the embedded router (extra [train])."),
}


class LazyGroup(click.Group):
    """Lists every command, imports only the one that runs: `voice-needle --help` must not load a model."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"voice_needle.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            hint = nearest(args[0], list(COMMANDS)) or "; voice-needle --help lists them"
            raise click.UsageError(f"There is no command `{args[0]}`{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


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

"""voice-needle devices: sound devices, board profiles, and every option there is."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import click

from voice_needle import config
from voice_needle.cli.common import json_option, print_json, print_table
from voice_needle.settings_file import read_yaml


@click.command()
@click.option("--profiles", is_flag=True, help="Board and sound-card profiles instead of sound devices.")
@click.option("--options", is_flag=True, help="Every option of the configuration, with unit, default and reason.")
@json_option
def devices(profiles: bool, options: bool, as_json: bool) -> None:
    """Microphones and speakers as they may be named in the configuration."""
    if profiles:
        rows = [dataclasses.asdict(read_yaml(config.Profile, file)) for file in config.profiles().values()]
        if as_json:
            print_json(rows)
        else:
            here = config.detect_profile()
            print_table(
                ("profile", "kind", "memory", "what"),
                [
                    (
                        row["name"] + (" (this machine)" if row["name"] == here else ""),
                        row["kind"],
                        f"{row['budget']['memory_mb']} MB" if row["kind"] == "board" else "",
                        row["description"],
                    )
                    for row in rows
                ],
            )
    elif options:
        described = list(describe(config.Config))
        if as_json:
            print_json(described)
        else:
            print_table(
                ("option", "default", "unit", "what"),
                [(o["name"], o["default"], o["unit"], o["doc"]) for o in described],
            )
    else:
        list_sound_devices(as_json)


def describe(kind: type[Any], path: str = "") -> typing.Iterator[dict[str, Any]]:
    """Every option under a settings dataclass: {"name", "default", "unit", "doc", "choices"}."""
    hints = typing.get_type_hints(kind)
    for each in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[each.name]):
            yield from describe(typing.cast(type[Any], hints[each.name]), f"{path}{each.name}.")
            continue
        factory = each.default_factory
        default = factory() if factory is not dataclasses.MISSING else each.default
        yield {
            "name": path + each.name,
            "default": str(default) if not isinstance(default, list) else ", ".join(default),
            "unit": each.metadata.get("unit", ""),
            "doc": each.metadata.get("doc", ""),
            "choices": list(each.metadata.get("choices", ())),
        }


def list_sound_devices(as_json: bool) -> None:
    from voice_needle.listen.microphone import sound_devices

    found = sound_devices()
    if as_json:
        print_json(found)
        return
    if not found:
        click.echo(
            "No sound device. Plug in a microphone and a speaker, or give a file: voice-needle run --input X.wav"
        )
    print_table(
        ("index", "in", "out", "rate", "name"),
        [(d["index"], d["inputs"] or "", d["outputs"] or "", f"{d['rate_hz']:.0f} Hz", d["name"]) for d in found],
    )

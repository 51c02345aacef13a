"""Longer lists of names than the corpus writes itself, from the public sets: they teach spans, not vocabulary."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from voice_needle.training.readers import Reader

_PLAIN = re.compile(r"^[a-z' ]+$")
_FROM_DIALOGUE: Mapping[str, tuple[str, ...]] = {  # our list <- parameters of Schema-Guided Dialogue
    "city": ("city", "location", "destination", "origin", "origin_city", "destination_city", "where_to", "area"),
    "artist": ("artist", "performer", "singer"),
    "song": ("song_name", "track", "title_of_song"),
    "album": ("album",),
    "film": ("movie_name", "title", "movie_title"),
    "company": ("restaurant_name", "hotel_name", "stylist_name", "dentist_name", "place_name", "provider"),
    "person": ("recipient_account_name", "receiver", "director", "starring", "directed_by", "actors", "contact_name"),
}


def read(data: Path, reader: Reader) -> dict[str, Sequence[str]]:
    """Name of a shared list -> further values, lower case."""
    folder = data / "router" / "templates"
    more: dict[str, set[str]] = {name: set() for name in _FROM_DIALOGUE}
    for name in ("sgd", "sgd_slots"):
        for row in reader.rows(name):
            for call in row["answers"]:
                for parameter, value in call["arguments"].items():
                    for ours, theirs in _FROM_DIALOGUE.items():
                        if parameter in theirs:
                            more[ours].add(str(value).lower())
    media = _lines(folder / "home_llm_media_names.txt")
    for name in ("song", "album", "film", "show", "book"):
        more.setdefault(name, set()).update(media)
    more["task"] = set(_lines(folder / "home_llm_todo_items.txt"))
    more["device"] = {f"the {name}" for found in devices(data).values() for name in found}
    return {
        name: sorted(value for value in found if _PLAIN.match(value) and 1 < len(value) < 45)
        for name, found in more.items()
    }


def devices(data: Path) -> dict[str, list[str]]:
    """Home Assistant domain + "_device" -> names of devices."""
    found: dict[str, list[str]] = {}
    with (data / "router" / "templates" / "home_llm_device_names.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            name = (row.get("description") or "").strip(' "').lower()
            if _PLAIN.match(name):
                found.setdefault(row["device_name"].split(".")[0] + "_device", []).append(name)
    return found


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").lower()
    return [" ".join(re.sub(r"[^\w' ]", " ", line).split()) for line in text.splitlines() if line.strip()]

"""Marks where the words hold a spoken form of one of a parameter's values: a hint the model weighs, never a decision."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.route.stitch.schema_text import ParameterText

_NOT_WORD = re.compile(r"[^\w%'&+-]")


def padded(text: str) -> str:
    """Lower case, every other sign a space, one space in front and one behind: offsets are shifted by one."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose lower case is longer would shift the offsets
        lowered = text
    return f" {_NOT_WORD.sub(' ', lowered)} "


def places(held: str, form: str) -> list[tuple[int, int]]:
    """Where a form stands in a `padded` text, whole words only, as offsets of the text itself."""
    wanted = f" {form} "
    found = []
    at = held.find(wanted)
    while at >= 0:
        found.append((at, at + len(form)))
        at = held.find(wanted, at + 1)
    return found


def mark(
    held: str, pieces: Pieces, parameters: Sequence[ParameterText], hints: NDArray[np.bool_]
) -> list[list[bool]]:
    """Set hints[p, piece, 0 or 1] where a piece begins or ends a form; return, for each parameter, which values are held."""
    matched = []
    for number, parameter in enumerate(parameters):
        row = []
        for value in parameter.values:
            found = [place for form in value.forms if form and f" {form} " in held for place in places(held, form)]
            for start, end in found:
                covered = pieces.cover(start, end)
                if covered is not None:
                    hints[number, covered[0], 0] = True
                    hints[number, covered[1], 1] = True
            row.append(bool(found))
        matched.append(row)
    return matched

"""A tool's slots: the words of its text, its parameters and its values, each of which looks for itself in the utterance.

One vector says what a tool is about; that "breeze" is what the value "wind" of its second parameter means is lost in it. Compare
Khattab and Zaharia 2020 (ColBERT): words meet words late, so that all of a tool's side is computed once, when it is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice_needle.route.stitch.schema_text import ToolText

WORDS, PARAMETERS, VALUES = 18, 6, 8  # most slots of each kind
WORD, PARAMETER, VALUE, NONE = range(4)
SIZE = 128  # numbers of a slot


@dataclass(frozen=True)
class Slots:
    """Which slots a tool has, in this order: words, parameters, values.

    kinds: (s,); places: of the words among the pieces of the tool's text; ids: their numbers; values: (parameter, value) each.
    """

    kinds: NDArray[np.int64]
    places: tuple[int, ...]
    ids: NDArray[np.int64]
    parameters: int
    values: tuple[tuple[int, int], ...]

    def forms(self, text: ToolText) -> list[tuple[int, tuple[str, ...]]]:
        """Slot -> what it is said as, for those of parameters and values that are said as something."""
        words = len(self.places)
        found = [(words + number, tuple(form for value in text.parameters[number].values for form in value.forms))
                 for number in range(self.parameters)]  # fmt: skip
        found += [(at, text.parameters[number].values[which].forms)
                  for at, (number, which) in enumerate(self.values, start=words + self.parameters)]  # fmt: skip
        return [(at, forms) for at, forms in found if forms]

    def said(self, text: ToolText, held: str, ids: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """(s,) whether the words hold the slot itself. held: the utterance as `hints.padded` gives it; ids: its pieces."""
        found = np.zeros(len(self.kinds), np.bool_)
        words = len(self.places)
        if words:
            found[:words] = np.isin(self.ids, np.asarray(ids))
        for at, forms in self.forms(text):
            found[at] = any(f" {form} " in held for form in forms)
        return found


def slots_of(text: ToolText, ids: Sequence[int], wordlike: NDArray[np.bool_]) -> Slots:
    """ids: pieces of `text.text`, the two marks included; wordlike: for each piece number whether it is more than a sign."""
    places = tuple(at for at, piece in enumerate(ids) if 0 < at < len(ids) - 1 and wordlike[piece])[:WORDS]
    parameters = min(len(text.parameters), PARAMETERS)
    choices = [number for number in range(parameters) if any(value.forms for value in text.parameters[number].values)]
    each = max(2, VALUES // max(1, len(choices)))
    values = [(number, which) for number in choices for which in range(min(each, len(text.parameters[number].values)))][:VALUES]
    kinds = [WORD] * len(places) + [PARAMETER] * parameters + [VALUE] * len(values)
    return Slots(
        np.array(kinds, dtype=np.int64), places, np.array([ids[at] for at in places], dtype=np.int64), parameters, tuple(values)
    )

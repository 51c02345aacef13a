"""One mistake in a file: where it is, what it is, and the valid name nearest to what was written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """line counts from 1. nearest: the valid name that was probably meant; empty where none is near."""

    file: Path
    line: int
    message: str
    nearest: str = ""

    def __str__(self) -> str:
        hint = f" (did you mean '{self.nearest}'?)" if self.nearest else ""
        return f"{self.file}:{self.line}: {self.message}{hint}"


def nearest(word: str, valid: Iterable[str]) -> str:
    """The valid name most like `word`, or "" when none is like it."""
    names = list(valid)
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not found:  # `kitchn_lamp` against `Kitchen Lamp`
        folded = {name.lower().replace(" ", "_"): name for name in names}
        close = difflib.get_close_matches(word.lower().replace(" ", "_"), folded, n=1, cutoff=0.6)
        found = [folded[close[0]]] if close else []
    return found[0] if found else ""

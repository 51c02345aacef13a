"""Every row of the fault table names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TABLE = REPOSITORY / "docs/faults.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith(("| fault", "| ---"))]


def test_every_row_is_a_test():
    found = rows()
    assert len(found) >= 20
    for row in found:
        assert len(row) == 5 and all(row), row
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[4])
        assert named, row
        for file, name in named:
            text = (REPOSITORY / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"

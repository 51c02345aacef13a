"""eval duplex --pictures: one time line for each failure, and none for what passed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from voice_needle.cli.evaluate_duplex import duplex
from voice_needle.evaluation import duplex_script
from voice_needle.evaluation.duplex_script import load_all, read_call


def test_a_failure_is_drawn_and_a_success_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    right = next(each for each in load_all(("home",)) if each.name == "stop early")
    wrong = replace(right, name="what never happens", calls=(read_call("lock_door"),))
    monkeypatch.setattr(duplex_script, "load_all", lambda plugins: [right, wrong])
    result = CliRunner().invoke(duplex, ["--text", "--pictures", str(tmp_path / "drawn"), "--json"])
    report = json.loads(result.stdout)
    assert [failure["name"] for failure in report["failures"]] == ["what never happens"]
    (picture,) = (tmp_path / "drawn").iterdir()
    assert report["pictures"] == [str(picture)] and "what-never-happens" in picture.name
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5_000

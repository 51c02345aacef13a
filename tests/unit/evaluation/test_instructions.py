"""Instructions a request: what valgrind prints, the difference of two runs, and the machine without valgrind."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from voice_needle.errors import VoiceNeedleError
from voice_needle.evaluation import instructions
from voice_needle.evaluation.instructions import REQUESTS, count_instructions


def test_without_valgrind_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(VoiceNeedleError, match="valgrind") as found:
        count_instructions()
    assert "apt-get install valgrind" in str(found.value.fix)


def test_only_what_a_second_time_executes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        name, times = command[-2], int(command[-1])
        each = {"stitch": 50_000_000, "needle_v1": 5_000_000_000}[name]
        total = 3_000_000_000 + times * REQUESTS[name] * each
        return subprocess.CompletedProcess(command, 0, "", f"==1== \n==1== I   refs:      {total:,}\n")

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", counted)
    assert count_instructions() == {
        "stitch_million_instructions": 50.0,
        "needle_v1_million_instructions": 5000.0,
        "needle_v1_over_stitch_instructions": 100.0,
    }
    assert count_instructions(quick=True) == {"stitch_million_instructions": 50.0}


def test_a_count_that_failed_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    with pytest.raises(VoiceNeedleError, match="could not count") as found:
        count_instructions(quick=True)
    assert "cachegrind" in str(found.value.fix)


def test_what_valgrind_watches_routes_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    from voice_needle.route.stitch.engine import StitchRouter

    routed: list[str] = []
    whole = StitchRouter.route
    monkeypatch.setattr(StitchRouter, "route", lambda self, said, *rest: routed.append(said.text) or whole(self, said, *rest))
    instructions.run("stitch", 2)
    assert len(routed) == 2 * REQUESTS["stitch"] and routed[: len(routed) // 2] == routed[len(routed) // 2 :]

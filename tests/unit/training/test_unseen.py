"""What `voice-needle eval unseen` counts, and that it counts a router that never acts as it should be counted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from voice_needle.cli.evaluate import evaluate
from voice_needle.route import get_router
from voice_needle.training.heldout import COUNTS, measured_sets
from voice_needle.training.readers import DEFAULT_DATA
from voice_needle.training.unseen import DOMAINS, routed

pytestmark = pytest.mark.skipif(
    not (DEFAULT_DATA / "router").is_dir(), reason="the public sets are not beside the project"
)
SIZE = 40


def test_who_never_acts_is_right_where_nothing_can_be_done():
    examples = measured_sets(SIZE)[DOMAINS]
    servable = sum(bool(example.answers) for example in examples)
    assert 0 < servable < len(examples)
    found = routed(get_router("always-decline"), examples)
    assert found["exact"] == found["exact_if_always_sure"] == pytest.approx(1 - servable / len(examples))
    assert (found["refusal_recall"], found["coverage"], found["executed"], found["wrong_executed"]) == (1.0, 0.0, 0, None)


def test_the_command_prints_every_set_of_every_router():
    done = CliRunner().invoke(evaluate, ["unseen", "--size", str(SIZE), "--baselines", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    for name in ("stitch", "bm25", "always-decline"):
        assert list(report[name]) == [DOMAINS, *(f"tools_{count}" for count in COUNTS)]
        for found in report[name].values():
            bounds = found["ci95"]["exact_if_always_sure"]
            assert bounds[0] <= found["exact_if_always_sure"] <= bounds[1]
    assert report["stitch"][DOMAINS]["exact_if_always_sure"] > report["always-decline"][DOMAINS]["exact_if_always_sure"]

"""The smallest board carries all four plugins: a whole appliance is started and spoken to, and its memory is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from voice_needle import config as configuration
from voice_needle.budget import check_budget
from voice_needle.evaluation.bench import bench_memory

MARGIN_MB = 15  # between the most that is seen and the budget: pages differ from run to run by less than 5


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("flite"), reason="flite speaks the requests")
def test_four_plugins_fit_a_zero_also_while_their_words_are_compiled():
    config = configuration.load(Path("/dev/null"), "pi-zero-2w")
    assert len(config.dispatch.plugins) == 4
    estimate = check_budget(config, 4)
    found = bench_memory(config)
    for start in ("first_start", "start"):
        seen = found[start]
        assert seen.get("turns") == 2, seen
        assert 100 < seen["listening_mb"] <= seen["peak_rss_mb"] <= min(estimate, config.budget.memory_mb - MARGIN_MB), seen
        assert seen["peak_rss_mb"] - 5 <= seen["with_helpers_mb"] <= config.budget.memory_mb, seen

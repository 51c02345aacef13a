"""The cost of listening while speaking: both ways are measured on the same sound, and cancelling is what costs."""

from __future__ import annotations

from pathlib import Path

from voice_needle.config import Config
from voice_needle.evaluation.bench_duplex import measure


def test_cancelling_costs_more_while_we_speak_and_both_ways_hear_the_same_time(tmp_path: Path) -> None:
    half, full = (measure(mode, Config(data_dir=tmp_path), 10.0) for mode in ("half", "full"))
    assert full["speaking_share"] > half["speaking_share"] > 0.0
    assert min(half["peak_share"], full["peak_share"]) > 0.0
    assert min(half["peak_rss_mb"], full["peak_rss_mb"]) > 10.0

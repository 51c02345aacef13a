from __future__ import annotations

from pathlib import Path

from voice_needle.dispatch.bench import bench_dispatch


async def test_every_call_of_the_measurement_is_made_and_settled(tmp_path: Path) -> None:
    figures = await bench_dispatch(0.5, 40, tmp_path)
    assert (figures["calls"], figures["failed"], figures["unsettled"]) == (20, 0, 0)
    spread = figures["overhead_ms"]
    assert 0 < spread["p50"] <= spread["p95"] <= spread["max"]
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 (it leaves nothing behind)

"""The embedded router's cost on one core, beside Needle v1's own graph on the same prompts in the same run.

Needle's weights cannot be shipped, so its graph runs with generated ones of the published shapes: the arithmetic is the same,
what it answers is not. Its tokenizer comes with its weights; the number of tokens is estimated (see route/needle/bench.py).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.errors import VoiceNeedleError
from voice_needle.evaluation.bench import summary
from voice_needle.events import Call, RouteContext, Transcript
from voice_needle.tools import Toolset

COUNTS = (10, 20, 40, 60)


def bench_routers(config: Config, *, quick: bool = False) -> dict[str, Any]:
    """{"stitch": {tools: times}, "needle_v1": times, "ratio_...", "file_mb", "rss_added_mb"}; times in ms on one thread."""
    from voice_needle.route.stitch.engine import StitchRouter

    offered, requests = bundled_requests(config)
    requests = requests[: 12 if quick else 60]
    router = StitchRouter(cache=config.data_dir / "cache", threads=1)
    context = RouteContext(now=RealClock().now())
    times: dict[int, list[float]] = {count: [] for count in COUNTS}
    for text, call in requests:
        for count in COUNTS:  # in turn, so that a slow moment of the machine slows all of them
            tools = around(offered, call.tool, count)
            router.prepare(tools)
            router.route(Transcript(text), tools, context)
            started = time.perf_counter()
            router.route(Transcript(text), tools, context)
            times[count].append((time.perf_counter() - started) * 1000)
    stitch = {str(count): summary(found) for count, found in times.items()}
    needle = _needle(offered, requests[: 3 if quick else 10])
    ten = stitch["10"]["p50"]
    report = {
        "threads": 1,
        "stitch_ms_by_tools": stitch,
        "stitch_60_over_10": round(stitch["60"]["p50"] / ten, 2),
        "needle_v1_10_tools_ms": needle,
        "file_mb": round(sum(path.stat().st_size for path in router.network.folder.iterdir()) / 2**20, 1),
        "rss_added_mb": _memory(),
    }
    if "p50" in needle:
        report["needle_v1_over_stitch"] = round(needle["p50"] / ten, 1)
    return report


def bundled_requests(config: Config) -> tuple[Toolset, list[tuple[str, Call]]]:
    """The bundled tools, and their scenarios that lead to one call."""
    from voice_needle.assembly import open_registry
    from voice_needle.evaluation.scenarios import FILE_NAME, load

    registry = open_registry(config)
    found = []
    for manifest in registry.plugins.values():
        if not (manifest.folder / FILE_NAME).is_file():
            continue
        for scenario in load(manifest.folder):
            calls = scenario.get("calls") or []
            if len(calls) == 1 and scenario.get("outcome") == "act" and calls[0]["tool"] in registry.offered():
                found.append((str(scenario["say"]), Call(calls[0]["tool"], calls[0].get("arguments") or {})))
    order = np.random.default_rng(0).permutation(len(found))
    return registry.offered(), [found[index] for index in order]


def around(offered: Toolset, name: str, count: int) -> Toolset:
    """The tool that is meant and `count` - 1 others, the same ones each time."""
    others = [tool for tool in offered.values() if tool.name != name]
    chosen = np.random.default_rng(len(name)).permutation(len(others))[: count - 1]
    return Toolset([offered[name], *(others[index] for index in sorted(chosen))])


def _needle(offered: Toolset, requests: Sequence[tuple[str, Call]]) -> dict[str, Any]:
    """Encoder pass over query and tools, then one cached decoder pass for each token of the right answer."""
    try:
        from voice_needle.route.needle.bench import NeedleGraph

        graph = NeedleGraph(threads=1)
        costs = [
            graph.cost(text, around(offered, call.tool, 10), [{"name": call.tool, "arguments": dict(call.arguments)}])
            for text, call in requests
        ]
    except (ImportError, VoiceNeedleError) as error:
        return {"error": str(error)}
    return {
        **summary([cost.total_ms for cost in costs]),
        "prompt_tokens_p50": int(np.median([cost.prompt_ids for cost in costs])),
        "answer_tokens_p50": int(np.median([cost.steps for cost in costs])),
        "weights": "generated int8",
    }


def _memory() -> float:
    """Resident memory that the router adds to a process that has numpy and onnxruntime's interpreter only."""
    code = (
        "import numpy\n"
        "from voice_needle.memory import resident_mb as rss_mb\n"
        "from voice_needle.route import Stitch\n"
        "before = rss_mb()\n"
        "tools = [{'name': f'tool_{i}', 'description': f'does thing number {i}'} for i in range(10)]\n"
        "Stitch(tools).route('do thing number three')\n"
        "print(round(rss_mb() - before, 1))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.stdout.split() else float("nan")

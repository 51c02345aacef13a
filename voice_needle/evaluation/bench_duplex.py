"""What listening while speaking costs: the full-duplex path beside the half-duplex one, each in a fresh process, in turn.

Both hear the same minute of sound and say the same story, frame by frame through the same assistant. Full duplex cancels the
echo and listens on; half duplex (`barge_in: {mode: off}`, no canceller) is deaf while it speaks. Processor time is the
process's own, so that a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from voice_needle import memory
from voice_needle.config import Config
from voice_needle.evaluation.duplex import Ears, Stage, open_stage, our_echo
from voice_needle.evaluation.duplex_script import Line
from voice_needle.evaluation.duplex_stage import line_sound
from voice_needle.evaluation.duplex_trials import STORY
from voice_needle.evaluation.room import Acoustics

MODES = ("half", "full")


def bench_duplex(config: Config, seconds: float = 60.0, rounds: int = 3) -> dict[str, Any]:
    """{"half", "full": shares of one core and MB, "ratio": full / half}. Errors: RuntimeError where a process fails."""
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES if number % 2 == 0 else reversed(MODES):
            found[mode].append(_in_a_process(mode, config, seconds))
    report: dict[str, Any] = {
        mode: {name: round(statistics.median(row[name] for row in rows), 5) for name in rows[0]}
        for mode, rows in found.items()
    }
    report["ratio"] = {
        name: round(report["full"][name] / report["half"][name], 3) for name in report["full"] if report["half"][name]
    }
    return {**report, "seconds": seconds, "rounds": rounds}


def _in_a_process(mode: str, config: Config, seconds: float) -> dict[str, float]:
    code = (
        "import json\n"
        "from voice_needle import config as c\n"
        "from voice_needle.evaluation import bench_duplex as b\n"
        f"print(json.dumps(b.measure({mode!r}, c.load(profile={config.profile!r}), {seconds!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the measurement failed")
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(mode: str, config: Config, seconds: float) -> dict[str, float]:
    """One way, in this process. speaking, quiet: share of a core while our voice plays, and while nothing does; the simulated room
    and our voice's synthesis are left out. peak: the busiest second of 100 frames. peak_rss_mb: of the whole process."""
    half = mode == "half"
    config = replace(config, barge_in=replace(config.barge_in, mode="off")) if half else config
    ears = Ears.open("home", config, text=False)
    return asyncio.run(_run(ears, seconds, None if half else our_echo))


async def _run(ears: Ears, seconds: float, echo: Any) -> dict[str, float]:
    async with open_stage(ears, Acoustics(), echo=echo or (lambda: None)) as stage:
        meter = _Meter(stage, seconds)
        stage.room.source.each_frame = meter.tick
        hear = stage.assistant.hear
        stage.assistant.hear = meter.around(hear)  # type: ignore[method-assign]
        await stage.assistant.run()
        return {
            "speaking_share": round(meter.share(meter.speaking_s), 5),
            "quiet_share": round(meter.share(meter.quiet_s), 5),
            "peak_share": round(max(meter.seconds_s), 5),
            "peak_rss_mb": memory.peak_mb(),
        }


class _Meter:
    """Tells a story for half of the time, lets a person speak once, and counts processor time in `hear`, frame by frame."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage, self._seconds = stage, seconds
        self._telling: asyncio.Task[None] | None = None
        self._hundred: list[float] = []
        self.speaking_s: list[float] = []
        self.quiet_s: list[float] = []
        self.seconds_s: list[float] = [0.0]

    def tick(self) -> None:
        stage, now_s = self._stage, self._stage.clock.monotonic()
        if now_s >= self._seconds + 5.0:
            stage.room.source.ended.set()
            if stage.speaker.speaking:
                stage.speaker.stop()
        elif self._telling is None and stage.assistant.tested and now_s >= 5.0:
            self._telling = asyncio.ensure_future(stage.assistant.announce(" ".join(STORY), tone=""))
        elif self._telling is not None and now_s >= self._seconds / 2 + 5.0 and stage.speaker.speaking:
            stage.speaker.stop()
            sound, _, _ = line_sound(Line(say="turn on the kitchen light"), "slt")
            stage.room.say(sound, stage.room.position + 32_000)

    def around(self, hear: Callable[..., None]) -> Callable[..., None]:
        def heard(frame: Any) -> None:
            speaking = self._stage.speaker.speaking
            began = time.thread_time()
            hear(frame)
            took = time.thread_time() - began
            (self.speaking_s if speaking else self.quiet_s).append(took)
            self._hundred.append(took)
            if len(self._hundred) == 100:
                self.seconds_s.append(sum(self._hundred))
                self._hundred.clear()

        return heard

    @staticmethod
    def share(took: list[float]) -> float:
        """Of one core: seconds of processor time a second of sound."""
        return sum(took) / (len(took) * 0.01) if took else 0.0

"""What the duplex benchmark prints: shares with their counts, times with their percentiles, and a picture of each failure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.evaluation.duplex import (
    Performance,
    cut_off,
    ducked_after_ms,
    false_stops,
    interruptions,
    stopped_after_ms,
)
from voice_needle.events import BargedIn, Ducked, Heard, Resumed

DISFLUENCIES = ("filler", "pause", "repeat", "false start", "self-correction")
STOPPING = ("stop", "cancel", "correction", "request", "question")  # kinds whose lines over our voice must be noticed
NOT_TO_NOTICE = ("backchannel", "noise", "aside")


def summary(shows: Sequence[Performance]) -> dict[str, Any]:
    """One JSON object. Every share comes as {"share", "n", "of"}, every time as {"p50", "p95", "n"} in ms."""
    kinds: dict[str, list[Performance]] = {}
    for show in shows:
        kinds.setdefault(show.scenario.kind, []).append(show)
    spoken = [(show, said) for show in shows if show.scenario.kind in STOPPING for said in interruptions(show)]
    missed = [1 for show, said in spoken if not _noticed(show, said.start_ms, said.end_ms)]
    return {
        "scenarios": len(shows),
        "pass_at_1": share(show.passed for show in shows),
        "by_kind": {kind: share(show.passed for show in found) for kind, found in sorted(kinds.items())},
        "by_plugin": {
            plugin: share(show.passed for show in shows if show.scenario.plugin == plugin)
            for plugin in sorted({show.scenario.plugin for show in shows})
        },
        "disfluent": share(show.passed for show in shows if show.scenario.kind in DISFLUENCIES),
        "self_corrections": share(show.passed for show in shows if show.scenario.kind in ("self-correction", "correction")),
        "interruptions": len(spoken),
        "missed_interruptions": {"share": len(missed) / max(1, len(spoken)), "n": len(missed), "of": len(spoken)},
        "wrongly_stopped": sum(
            bool(show.events_of(BargedIn)) for show in shows if show.scenario.kind in NOT_TO_NOTICE
        ),
        "false_stops_by_own_voice": sum(false_stops(show) for show in shows),
        "onset_to_duck_ms": percentiles(ducked_after_ms(show, said) for show, said in spoken),
        "onset_to_stop_ms": percentiles(stopped_after_ms(show, said) for show, said in spoken),
        "end_to_first_audio_ms": percentiles(_responses(shows)),
        "endpoint_ms": percentiles(turn.silence_ms for show in shows for turn in show.turns if turn.answer and turn.speech_ms),
        "cut_off_users": {"n": sum(map(cut_off, shows)), "of": sum(1 for show in shows for s in show.said if s.line.say)},
        "conversation_s": round(sum(show.length_s for show in shows), 1),
        "wall_s": round(sum(show.wall_s for show in shows), 1),
        "failures": [
            {"plugin": s.scenario.plugin, "name": s.scenario.name, "kind": s.scenario.kind, "voice": s.voice, "problems": s.problems}
            for s in shows
            if s.problems
        ],
    }  # fmt: skip


def _noticed(show: Performance, start_ms: float, end_ms: float) -> bool:
    return any(isinstance(e, BargedIn) and start_ms <= e.at_ms <= end_ms + 4_000.0 for e in show.events)


def _responses(shows: Sequence[Performance]) -> list[float]:
    """End of speech to the first sound of an answer: silence waited for, and all that was computed after it."""
    return [
        turn.ms["response"]
        for show in shows
        for turn in show.turns
        if turn.answer and "voice" in turn.ms and "response" in turn.ms
    ]


def share(passed: Any) -> dict[str, Any]:
    found = [bool(each) for each in passed]
    return {"share": round(sum(found) / max(1, len(found)), 4), "n": sum(found), "of": len(found)}


def percentiles(values: Any) -> dict[str, Any]:
    found = [float(value) for value in values if value is not None]
    if not found:
        return {"p50": None, "p95": None, "n": 0}
    return {
        "p50": round(float(np.percentile(found, 50)), 1),
        "p95": round(float(np.percentile(found, 95)), 1),
        "n": len(found),
    }


def table(report: dict[str, Any], title: str) -> Any:
    """The summary for a person."""
    from rich.table import Table

    rows = Table(title=title, title_justify="left")
    rows.add_column("")
    rows.add_column("", justify="right")
    for name in ("pass_at_1", "disfluent", "self_corrections"):
        rows.add_row(name, _share(report[name]))
    for kind, found in report["by_kind"].items():
        rows.add_row(f"  {kind}", _share(found))
    rows.add_row("missed interruptions", _share(report["missed_interruptions"]))
    for name in ("wrongly_stopped", "false_stops_by_own_voice"):
        rows.add_row(name, str(report[name]))
    for name in ("onset_to_duck_ms", "onset_to_stop_ms", "end_to_first_audio_ms", "endpoint_ms"):
        found = report[name]
        rows.add_row(name, f"p50 {found['p50']}  p95 {found['p95']}  (n {found['n']})")
    cut = report["cut_off_users"]
    rows.add_row("cut-off users", f"{cut['n']} of {cut['of']}")
    return rows


def _share(found: dict[str, Any]) -> str:
    return f"{100 * found['share']:.1f} %  ({found['n']} of {found['of']})"


def picture(show: Performance, folder: Path) -> Path:
    """A time line of one performance: who spoke, what was heard, and what our voice did. The PNG's path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(12, 3.4))
    for said in show.said:
        axes.barh(2, said.end_ms - said.start_ms, left=said.start_ms, height=0.5, color="tab:blue")
        axes.text(said.start_ms, 2.35, said.line.say or said.line.noise, fontsize=7)
    times = [moment.at_ms for moment in show.moments]
    ours = [0.5 + 0.8 * moment.gain if moment.sounding else 0.5 for moment in show.moments]
    axes.fill_between(times, 0.5, ours, step="post", color="tab:orange", alpha=0.6)
    for turn in show.turns:
        if turn.answer:
            axes.text(turn.started_s * 1000, 0.25, turn.answer[:60], fontsize=6, color="tab:brown")
    for event in show.events:
        match event:
            case Heard(transcript=heard) if heard.final:
                axes.text(event.at_ms, 1.7, f"“{heard.text}”", fontsize=7, color="tab:green")
            case Ducked() | Resumed() | BargedIn():
                axes.axvline(event.at_ms, color="tab:red", lw=0.7)
                axes.text(event.at_ms, 1.4, type(event).__name__.lower(), fontsize=6, color="tab:red", rotation=30)
    axes.set_yticks([0.9, 2.0], ["we say", "user says"])
    axes.set_xlabel("ms")
    axes.set_ylim(0.0, 2.8)
    axes.set_title(
        f"{show.scenario.plugin}: {show.scenario.name} ({show.voice}): {'; '.join(show.problems)[:110]}", fontsize=8
    )
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{show.scenario.plugin} {show.scenario.name}".lower()).strip("-")
    path = folder / f"{name}.png"
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path

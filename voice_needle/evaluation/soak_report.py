"""Judges a long run: timers, ledger against the world, memory's slope with its interval; and draws the memory."""

from __future__ import annotations

import json
import math
import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voice_needle.errors import EngineMissing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from voice_needle.evaluation.soak import Diary

WARM_UP_H = 7.0  # what fills as ever more words are heard: in a run of 12 hours the least rose by 10 MB in seven, then no more
MOST_GROWTH_MB_H = 0.1  # a month of it would be 72 MB; in a day half as much is told from noise
SHORTEST_H = 6.0  # of samples after the warm-up, for a judgement: in fewer, the last caches that fill look like growth
LATE_S = 15.0  # a timer waits for an answer to end before it rings, and for a speaker that is away
EXPECTED = frozenset({"DeviceLost"})  # what unplugging means
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07)


LampsOf = Callable[[str, Mapping[str, Any]], frozenset[str] | None]


def judge(diary: Diary, ledger: Path, timers: Path, now: datetime, lamps_of: LampsOf) -> dict[str, Any]:
    """Counts, and `problems`: what should not be; `ok` when there is none.

    lamps_of: (tool, arguments) -> the lamps that such a call is to move, each once; None where it is not about lamps.
    """
    calls, calls_wrong = _calls(ledger, diary, lamps_of)
    rings, rings_wrong = _timers(timers, ledger, diary, now)
    held = slope(diary.memory)
    problems = [*diary.crashes, *calls_wrong, *rings_wrong]
    problems += [f"{count} faults {name}" for name, count in diary.faults.items() if name not in EXPECTED]
    if held.get("half_hours", 0) >= SHORTEST_H * 2 and held["slope_mb_h_ci95"][0] > MOST_GROWTH_MB_H:
        problems.append(f"memory grows by {held['slope_mb_h']} MB an hour")
    return {
        "ok": not problems,
        "problems": problems,
        "happened": dict(diary.happened),
        "utterances": diary.heard,
        "faults": dict(diary.faults),
        "crashes": len(diary.crashes),
        "calls": calls,
        "timers": rings,
        "memory": held,
        "allocated": slope(diary.allocated),
        "memory_mb": [[round(hours, 3), mb] for hours, mb in diary.memory],
        "allocated_mb": [[round(hours, 3), mb] for hours, mb in diary.allocated],
    }


def _calls(ledger: Path, diary: Diary, lamps_of: LampsOf) -> tuple[dict[str, Any], list[str]]:
    """Every call has one row, every row one end, every end was told once, and each call moved its lamps once."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT c.id, c.tool, c.arguments, group_concat(o.kind) FROM calls c"
            " LEFT JOIN outcomes o ON o.call = c.id AND o.kind <> 'late' GROUP BY c.id"
        ).fetchall()
    ends = {number: (tool, json.loads(arguments), kinds) for number, tool, arguments, kinds in rows}
    wrong = [f"ledger row {number} ({tool}) has the end {kinds}" for number, (tool, _, kinds) in ends.items() if not kinds or "," in kinds]
    told = Counter(number for number, _ in diary.ended if number)
    wrong += [f"ledger row {number} was told {count} times" for number, count in told.items() if count != 1]
    wrong += [f"ledger row {number} was never told" for number in ends.keys() - told.keys()]
    wrong += [f"call {number} was told and is not in the ledger" for number in told.keys() - ends.keys()]
    wrong += _moved(diary, ends, lamps_of)
    return {
        "ledger_rows": len(ends),
        "told": len(diary.ended),
        "statuses": dict(Counter(status for _, status in diary.ended)),
        "lamp_commands": sum(len(commands) for _, commands in diary.sent),
    }, wrong


def _moved(diary: Diary, ends: Mapping[int, tuple[str, Mapping[str, Any], str]], lamps_of: LampsOf) -> list[str]:
    """Call by call: each lamp it is about got its command once, no other did, and nothing came without a call.

    What became of a call that did not end well is not known: its commands may come while the next one runs, or never.
    """
    wrong: list[str] = []
    owed: Counter[tuple[str, str]] = Counter()
    for row, commands in diary.sent:
        tool, arguments, kinds = ends.get(row, ("no call", {}, ""))
        got = Counter((name, _state(payload)) for name, payload in commands)
        lamps = lamps_of(tool, arguments) if row else frozenset()
        if lamps is None or (row and "state" not in arguments):  # no soak asks for it: nothing came twice, and that is all
            want = Counter(dict.fromkeys(got, 1))
        else:
            want = Counter((name, str(arguments.get("state")).upper()) for name in lamps)
        extra, missing = got - want, want - got
        late = extra & owed
        owed -= late
        called = f"ledger row {row} ({tool} {dict(arguments)})" if row else "without a call"
        wrong += [f"{called}: {name} got {what} {got[name, what]} times, not {want[name, what]}" for name, what in extra - late]
        if kinds == "ok":
            wrong += [f"{called} is ok, and {name} never got {what}" for name, what in missing]
        else:
            owed += missing
    return wrong


def _state(payload: str) -> str:
    """ON or OFF of a command, also in JSON; the whole payload where it says neither."""
    try:
        said = json.loads(payload)
    except ValueError:
        return payload
    return str(said["state"]) if isinstance(said, dict) and "state" in said else payload


def _timers(file: Path, ledger: Path, diary: Diary, now: datetime) -> tuple[dict[str, Any], list[str]]:
    """Every timer that the ledger knows is in the store, and was heard once, in time or as soon as there was a speaker."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT number, due, ended FROM timers").fetchall()
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as db:
        made = [
            json.loads(result)["number"]
            for (result,) in db.execute(
                "SELECT o.result FROM calls c JOIN outcomes o ON o.call = c.id AND o.kind = 'ok' WHERE c.tool = 'timer_set'"
            )
        ]
    overdue = now - timedelta(seconds=LATE_S)
    heard = Counter(due for due, _ in diary.rang)
    rung = [number for number, _, ended in rows if ended == "rung"]
    lost = [number for number, due, ended in rows if ended == "rung" and not heard[datetime.fromtimestamp(due, UTC)]]
    silent = [number for number, due, ended in rows if ended is None and due < overdue.timestamp()]
    late = [(at - _audible(due, diary)).total_seconds() for due, at in diary.rang]
    wrong = [f"timer {number} was given up: nobody heard it" for number in lost]
    wrong += [f"timer {number} did not ring" for number in silent]
    wrong += [f"the timer of {due:%H:%M:%S} rang {count} times" for due, count in heard.items() if count > 1]
    wrong += [f"a timer rang {seconds:.0f} s late" for seconds in late if seconds > LATE_S]
    if sorted(made) != sorted(number for number, _, _ in rows):
        wrong.append(f"the ledger set timers {made}, the store has {[row[0] for row in rows]}")
    return {
        "set": len(rows),
        "rung": len(rung) - len(lost),
        "missed": len(lost) + len(silent),
        "still_running": sum(ended is None for _, _, ended in rows) - len(silent),
        "latest_s": round(max(late, default=0.0), 2),
    }, wrong


def _audible(due: datetime, diary: Diary) -> datetime:
    """When it could be heard at the earliest: speakers that were away, one after the other, put it off."""
    for gone, back in sorted(diary.mute):
        if gone <= due < back:
            due = back
    return due


def slope(samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Least squares through the least that was held in each half hour after the warm-up, in MB an hour with its 95 % interval.

    A search takes and gives back tens of MB, and what the last one took is held until the next: that says nothing. The least is
    what stays when nothing goes on; a leak raises it like everything else. Neighbouring samples are not independent, these are
    nearly. Too few of them for an interval: only first, last and most.
    """
    if not samples:
        return {}
    found: dict[str, Any] = {"first_mb": samples[0][1], "last_mb": samples[-1][1], "most_mb": max(mb for _, mb in samples)}
    points = floor(samples)
    if len(points) < 4:
        return found
    count = len(points)
    mean_x, mean_y = statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(rest / (count - 2) / spread)
    half_width = T_95[min(count - 3, len(T_95) - 1)] * error
    return {
        **found,
        "half_hours": count,
        "slope_mb_h": round(rise, 4),
        "slope_mb_h_ci95": [round(rise - half_width, 4), round(rise + half_width, 4)],
    }


def floor(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(hours, least MB) of each half hour after the warm-up that has enough samples."""
    halves: dict[int, list[float]] = {}
    for hours, mb in samples:
        if hours >= WARM_UP_H:
            halves.setdefault(int(hours * 2), []).append(mb)
    return [(half / 2 + 0.25, min(values)) for half, values in halves.items() if len(values) >= 20]


def picture(report: Mapping[str, Any], out: Path) -> None:
    """Resident memory over simulated time, as PNG. Errors: EngineMissing without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise EngineMissing("matplotlib is not installed; it draws the plot", fix="pip install 'voice-needle[plot]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    for what, about, colour in (("memory", "resident", "#4c78a8"), ("allocated", "allocated", "#54a24b")):
        samples, found = report[f"{what}_mb"], report[what]
        axes.plot(*zip(*samples, strict=True), linewidth=0.8, color=colour, label=f"{about} memory, each minute")
        if "slope_mb_h" in found:
            _draw_slope(axes, floor(samples), found)
    axes.set_ylim(0, report["memory"]["most_mb"] * 1.15)
    timers, calls = report["timers"], report["calls"]
    axes.set_title(
        f"{report['simulated_hours']:g} simulated hours: {report['utterances']} utterances, {calls['ledger_rows']} calls,"
        f" {timers['rung']} timers rung, {report['crashes']} crashes, {len(report['problems'])} problems",
        fontsize=10,
    )
    axes.set_xlabel("simulated hours")
    axes.set_ylabel("MB")
    axes.legend(loc="lower right")
    figure.savefig(out, dpi=100)
    plt.close(figure)


def _draw_slope(axes: Axes, least: Sequence[tuple[float, float]], found: Mapping[str, Any]) -> None:
    """The line through the least of each half hour."""
    middle_x, middle_y = statistics.fmean(x for x, _ in least), statistics.fmean(y for _, y in least)
    ends = (least[0][0], least[-1][0])
    low, high = found["slope_mb_h_ci95"]
    label = f"least of each half hour after {WARM_UP_H:g}: {found['slope_mb_h']:+.3f} MB/h, 95 % [{low:+.3f}, {high:+.3f}]"
    axes.plot(*zip(*least, strict=True), ".", color="#e45756")
    axes.plot(ends, [middle_y + found["slope_mb_h"] * (x - middle_x) for x in ends], color="#e45756", label=label)

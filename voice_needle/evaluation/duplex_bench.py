"""Interruptions in numbers: commands over our own voice with each canceller, interruptions by echo level, and nobody speaking at all.

A measurement is cut into shards: one session in one room each. With `keep`, every finished shard is a line of that file, and a run
that was cut off goes on where it stopped; shards of other settings in the same file are left alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voice_needle.config import Config
from voice_needle.evaluation.duplex import VOICES, Ears
from voice_needle.evaluation.duplex_report import percentiles
from voice_needle.evaluation.duplex_rivals import cancellers
from voice_needle.evaluation.duplex_trials import COMMANDS, STOPS, Spoken, talk
from voice_needle.evaluation.metrics import wilson
from voice_needle.evaluation.room import Acoustics

Progress = Callable[[str, int, int], None]
"""Told after each shard: a line about it, shards done, shards in all."""
BATCH = 8  # lines a session
LEVELS_DB = (0.0, 6.0, 12.0)
SOFT_CLIP = 3.0  # of the loudspeaker: peaks of speech are flattened to about a third


@dataclass(frozen=True)
class Shard:
    """One session: what is compared (`row`), with which canceller, in which room, whose voice, which lines."""

    row: str
    canceller: str
    acoustics: Acoustics
    voice: str
    lines: tuple[Spoken, ...]
    steady: bool
    seed: int

    @property
    def key(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def double_talk_shards(count: int, names: Sequence[str]) -> list[Shard]:
    """At least `count` commands for each row, in four voices: a linear and a soft-clipped loudspeaker, with our voice ducked and
    stopped as it is in life, and (steady) with our voice going on under the whole command. no echo: what the recogniser can do."""
    shards = []
    for number, (voice, batch) in enumerate(_batches(count, [Spoken(*command) for command in COMMANDS])):
        for clip, steady in ((0.0, False), (0.0, True), (SOFT_CLIP, False), (SOFT_CLIP, True)):
            room = Acoustics(echo_db=0.0, clip=clip, seed=number)
            kind = ("soft-clipped" if clip else "linear") + (", steady" if steady else "")
            shards += [Shard(kind, name, room, voice, batch, steady, number) for name in names]
        shards.append(Shard("no echo", "ours", Acoustics(echo_db=None, seed=number), voice, batch, False, number))
    return shards


def barge_in_shards(count: int, levels: Sequence[float] = LEVELS_DB) -> list[Shard]:
    """At least `count` interruptions at each level, requests and stops by turns, in four voices and rooms of many delays."""
    stops = [Spoken(text) for text in STOPS]
    mixed = [line for pair in zip([Spoken(*command) for command in COMMANDS], stops * 2, strict=True) for line in pair]
    return [
        Shard(f"{level:+.0f} dB", "ours", Acoustics(echo_db=level, delay_ms=20.0 * (number % 4), seed=number), voice, batch, False, number)
        for number, (voice, batch) in enumerate(_batches(count, mixed))
        for level in levels
    ]  # fmt: skip


def _batches(count: int, lines: Sequence[Spoken]) -> Iterable[tuple[str, tuple[Spoken, ...]]]:
    for number in range(-(-count // BATCH)):
        first = number * BATCH + number // len(VOICES) * 3  # another line for the same voice each time round
        yield VOICES[number % len(VOICES)], tuple(lines[(first + at) % len(lines)] for at in range(BATCH))


def run(
    shards: Sequence[Shard], config: Config, keep: Path | None = None, progress: Progress = lambda line, done, of: None
) -> dict[str, Any]:
    """All shards, one after the other, and what came of them. Errors: EngineMissing for a canceller that is not installed."""
    echoes = cancellers()
    known = read_kept(keep)
    ears: Ears | None = None
    results: list[tuple[Shard, dict[str, Any]]] = []
    for done, shard in enumerate(shards, 1):
        found = known.get(shard.key)
        if found is None:
            ears = ears or Ears.open("home", config, text=False)
            began = time.perf_counter()
            found = asyncio.run(
                talk(ears, shard.lines, shard.voice, shard.acoustics, echo=echoes[shard.canceller], steady=shard.steady, seed=shard.seed)
            )  # fmt: skip
            found["wall_s"] = round(time.perf_counter() - began, 1)
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    file.write(
                        json.dumps({"key": shard.key, "row": shard.row, "canceller": shard.canceller, **found}) + "\n"
                    )
        results.append((shard, found))
        right = sum(trial["understood"] for trial in found["trials"])
        progress(f"{shard.row}, {shard.canceller}, {shard.voice}: {right} of {len(found['trials'])} in {found['wall_s']} s", done, len(shards))  # fmt: skip
    return summary(results)


def read_kept(keep: Path | None) -> dict[str, dict[str, Any]]:
    """Finished shards of an earlier run; a line that was cut off is none."""
    found: dict[str, dict[str, Any]] = {}
    if keep is not None and keep.exists():
        for line in keep.read_text("utf-8").splitlines():
            try:
                shard = json.loads(line)
            except ValueError:
                continue
            found[shard["key"]] = shard
    return found


def summary(results: Sequence[tuple[Shard, dict[str, Any]]]) -> dict[str, Any]:
    """Row -> canceller -> shares with n and 95 % intervals (Wilson), times in ms from the onset of speech."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for shard, found in results:
        rows.setdefault(shard.row, {}).setdefault(shard.canceller, []).append(found)
    return {row: {name: _row(found) for name, found in by_name.items()} for row, by_name in rows.items()}


def _row(sessions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    trials = [trial for session in sessions for trial in session["trials"]]
    over = [trial for trial in trials if trial["over"]]
    commands = {text for text, _ in COMMANDS}
    by_kind = {
        kind: [t for t in over if (t["text"] in commands) == (kind == "requests")] for kind in ("requests", "stops")
    }
    return {
        "understood": counted(trial["understood"] for trial in trials),
        "over_our_voice": len(over),
        "missed": counted(not trial["noticed"] for trial in over),
        "missed_by_kind": {kind: counted(not t["noticed"] for t in found) for kind, found in by_kind.items() if found},
        "unheard": counted(trial["duck_ms"] is None for trial in over),
        "wrong_calls": sum(trial["others"] for trial in trials),
        "false_stops_before": sum(trial["early"] for trial in trials),
        "false_ducks_before": sum(trial["early_ducks"] for trial in trials),
        "onset_to_duck_ms": percentiles(trial["duck_ms"] for trial in over),
        "onset_to_stop_ms": percentiles(trial["stop_ms"] for trial in over),
        "modes": sorted({session["mode"] for session in sessions}),
        "removed_db": round(sum(session["removed_db"] for session in sessions) / max(1, len(sessions)), 1),
        "conversation_s": round(sum(session["conversation_s"] for session in sessions), 1),
        "wall_s": round(sum(session["wall_s"] for session in sessions), 1),
        "not_understood": [f"{t['voice']}: {t['text']} -> {' | '.join(t['heard'])}" for t in trials if not t["understood"]],
    }  # fmt: skip


def counted(each: Iterable[object]) -> dict[str, Any]:
    """{"share", "n", "of", "ci95"}."""
    found = [bool(one) for one in each]
    n, of = sum(found), len(found)
    return {"share": round(n / of, 4) if of else None, "n": n, "of": of, "ci95": wilson(n, of)}


def table(report: dict[str, Any], title: str) -> Any:
    """The summary for a person."""
    from rich.table import Table

    rows = Table(title=title, title_justify="left")
    for name in (
        "",
        "canceller",
        "understood",
        "missed",
        "wrong calls",
        "false stops",
        "duck p50/p95 ms",
        "stop p50/p95 ms",
    ):
        rows.add_column(name, justify="left" if name in ("", "canceller") else "right")
    for row, by_name in report.items():
        for name, found in by_name.items():
            times = [found[key] for key in ("onset_to_duck_ms", "onset_to_stop_ms")]
            rows.add_row(
                row, name, written(found["understood"]), written(found["missed"]), str(found["wrong_calls"]),
                str(found["false_stops_before"]), *(f"{each['p50']} / {each['p95']}" for each in times),
            )  # fmt: skip
    return rows


def written(found: dict[str, Any]) -> str:
    """`93.8 % (60/64; 85-98)`."""
    if not found["of"]:
        return "-"
    low, high = (100 * each for each in found["ci95"])
    return f"{100 * found['share']:.1f} % ({found['n']}/{found['of']}; {low:.0f}-{high:.0f})"

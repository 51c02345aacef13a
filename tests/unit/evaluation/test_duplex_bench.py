"""Measurements over our own voice: enough of each kind, resumable, and true to what happened in a session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voice_needle.config import Config
from voice_needle.evaluation import duplex_bench as bench
from voice_needle.evaluation import own_voice
from voice_needle.evaluation.duplex_rivals import cancellers
from voice_needle.evaluation.duplex_script import read_call
from voice_needle.evaluation.duplex_trials import COMMANDS, Spoken, fits
from voice_needle.evaluation.room import Acoustics


def test_every_canceller_gets_the_same_commands_in_the_same_rooms_in_four_voices():
    shards = bench.double_talk_shards(60, ["ours", "none"])
    rows: dict[str, dict[str, list[object]]] = {}
    for shard in shards:
        rows.setdefault(shard.row, {}).setdefault(shard.canceller, []).append(
            (shard.voice, shard.lines, shard.acoustics, shard.seed)
        )
    assert set(rows) == {"linear", "linear, steady", "soft-clipped", "soft-clipped, steady", "no echo"}
    assert rows["linear"]["ours"] == rows["linear"]["none"]
    assert sum(len(shard.lines) for shard in shards if shard.row == "linear" and shard.canceller == "ours") >= 60
    assert len({shard.voice for shard in shards}) == 4
    assert {line.text for shard in shards for line in shard.lines} == {text for text, _ in COMMANDS}


def test_interruptions_of_both_kinds_at_each_level():
    shards = bench.barge_in_shards(100)
    for level in bench.LEVELS_DB:
        lines = [line for shard in shards if shard.acoustics.echo_db == level for line in shard.lines]
        assert len(lines) >= 100
        assert {bool(line.call) for line in lines} == {True, False}


def test_a_call_fits_by_the_arguments_that_were_asked_for():
    made = read_call("light_switch room=kitchen state=on fade=2")
    assert fits(read_call("light_switch room=kitchen state=on"), made)
    assert not fits(read_call("light_switch room=hall state=on"), made)
    assert not fits(read_call("light_level room=kitchen"), made)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """One real session of two lines, kept in a file."""
    folder = tmp_path_factory.mktemp("bench")
    lines = (Spoken("turn on the kitchen light", "light_switch room=kitchen state=on"), Spoken("stop"))
    shard = bench.Shard("linear", "ours", Acoustics(echo_db=0.0), "slt", lines, False, 1)
    keep = folder / "kept.jsonl"
    return keep, bench.run([shard], Config(data_dir=folder), keep)


def test_commands_over_our_voice_are_carried_out_and_timed(session: tuple[Path, dict[str, object]]):
    row = session[1]["linear"]["ours"]  # type: ignore[index]
    assert row["over_our_voice"] == 2 and row["wrong_calls"] == 0
    assert row["understood"]["n"] == 2 and row["missed"]["n"] == 0
    assert 20.0 <= row["onset_to_duck_ms"]["p50"] <= row["onset_to_stop_ms"]["p50"] < 2_000.0
    assert row["understood"]["ci95"][0] < 1.0


def test_what_is_kept_is_not_done_again(session: tuple[Path, dict[str, object]], monkeypatch: pytest.MonkeyPatch):
    keep, before = session
    stored = json.loads(keep.read_text())
    with keep.open("a") as file:
        file.write('{"key": "cut o')
    monkeypatch.setattr(bench, "talk", lambda *_: pytest.fail("it was done again"))
    told: list[str] = []
    shard = bench.Shard("linear", "ours", Acoustics(echo_db=0.0), "slt", tuple(Spoken(t["text"], c) for t, c in zip(stored["trials"], ("light_switch room=kitchen state=on", ""), strict=True)), False, 1)  # fmt: skip
    assert bench.run([shard], Config(), keep, lambda line, done, of: told.append(line)) == before
    assert told and "2 of 2" in told[0]


def test_intervals_are_wide_where_little_was_tried():
    assert bench.counted([True] * 3) == {"share": 1.0, "n": 3, "of": 3, "ci95": [0.4385, 1.0]}
    assert bench.counted([])["share"] is None
    assert bench.written(bench.counted([])) == "-"


def test_rivals_that_need_no_wheel_are_always_there():
    assert {"ours", "none", "speexdsp alone", "speexdsp linear"} <= set(cancellers())


def test_our_own_voice_alone_and_with_coughs_is_not_interrupted(tmp_path: Path):
    rooms = own_voice.in_hard_rooms(30.0)
    assert sum(each.seconds for each in rooms) == 1_800.0
    assert max(each.acoustics.echo_db or 0.0 for each in rooms) == 12.0
    assert {each.noise for each in own_voice.with_noises(60.0, True)} == {"door", "cough", "music", "recorded"}
    sessions = [own_voice.Session(8.0, rooms[2].acoustics), own_voice.Session(8.0, rooms[0].acoustics, "cough")]
    keep = tmp_path / "kept.jsonl"
    report = own_voice.run(sessions, Config(data_dir=tmp_path), keep=keep)
    assert report["minutes"] > 0.25 and report["false_stops"] == 0 and report["false_calls"] == 0
    assert own_voice.run(sessions, Config(data_dir=tmp_path), keep=keep) == report

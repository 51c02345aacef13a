"""What the recogniser reads is compiled once, elsewhere, and believed only while it is whole."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from voice_needle.config import Transcribe
from voice_needle.errors import BadToolSchema, EngineFailed, StorageError
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe import compiled, get_recogniser
from voice_needle.transcribe.network import Arc, Network, share_ways
from voice_needle.transcribe.searches import SphinxSettings
from voice_needle.transcribe.sphinx import SphinxRecogniser

HATCH = Tool("hatch", "Open a hatch.", sentences=("open the hatch",))
PUMP = Tool("pump", "Start the pump.", sentences=("start the pump",))
WRONG = Tool("lamp", "", sentences=("make it {colour}",))


def times(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_the_key_follows_what_can_be_said_and_nothing_else() -> None:
    first = compiled.key(Toolset([HATCH]))
    assert compiled.key(Toolset([replace(HATCH, description="Another.")])) == first
    assert compiled.key(Toolset([replace(HATCH, sentences=("shut the hatch",))])) != first
    assert compiled.key(Toolset([replace(HATCH, expansions={"way": "(up|down)"})])) != first
    level = {"type": "object", "properties": {"level": {"type": "integer", "x-unit": "percent"}}}
    assert compiled.key(Toolset([replace(HATCH, parameters=level)])) != first


def test_a_small_grammar_is_another_one_and_hears_nobody_stumble(tmp_path: Path) -> None:
    assert compiled.key(Toolset([HATCH])) != compiled.key(Toolset([HATCH]), full=False)
    full, small = (compiled.compiled(Toolset([HATCH]), tmp_path, full=full) for full in (True, False))
    assert (small / compiled.GRAMMAR).stat().st_size < (full / compiled.GRAMMAR).stat().st_size
    recogniser = get_recogniser("sphinx", Transcribe(grammar="small"), data_dir=tmp_path)
    recogniser.prepare(Toolset([HATCH]))
    assert isinstance(recogniser, SphinxRecogniser)
    assert recogniser.begin("grammar").knows("hatch")
    with pytest.raises(EngineFailed, match="replies"):
        recogniser.begin("replies")
    recogniser.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_compiled_again(tmp_path: Path, damage: str) -> None:
    folder = compiled.compiled(Toolset([HATCH]), tmp_path)
    whole = {name: (folder / name).read_bytes() for name in (compiled.DICTIONARY, compiled.GRAMMAR, compiled.MODEL)}
    before = times(tmp_path)
    assert compiled.compiled(Toolset([HATCH]), tmp_path) == folder and times(tmp_path) == before
    file = folder / compiled.GRAMMAR
    if damage == "gone":
        file.unlink()
    else:
        data = whole[compiled.GRAMMAR]
        file.write_bytes(data[: len(data) // 2] if damage == "cut" else data.replace(b"hatch", b"watch"))
    assert compiled.compiled(Toolset([HATCH]), tmp_path) == folder
    assert {name: (folder / name).read_bytes() for name in whole} == whole


def test_only_the_last_used_stay(tmp_path: Path) -> None:
    sets = [
        Toolset([replace(HATCH, sentences=(f"open hatch {word}",))]) for word in ("one", "two", "three", "four", "five")
    ]
    folders = [compiled.compiled(tools, tmp_path) for tools in sets]
    assert [folder.is_dir() for folder in folders] == [False, *[True] * compiled.KEPT]
    assert {path.parent for path in times(tmp_path)} == set(folders[1:])  # and nothing half-written


def test_a_wrong_pattern_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(BadToolSchema, match=r"tool lamp.*\{colour\}") as caught:
        compiled.compiled(Toolset([WRONG]), tmp_path)
    assert caught.value.fix == BadToolSchema.fix
    assert not times(tmp_path)


def test_a_compiler_that_dies_is_an_engine_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EngineFailed, match="ended with 1"):
        compiled.compiled(Toolset([HATCH]), tmp_path)


def test_words_compiled_ahead_are_only_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser = SphinxRecogniser(SphinxSettings(cache=tmp_path))
    recogniser.prepare(Toolset([HATCH]))
    recogniser.compile_ahead(Toolset([HATCH, PUMP]))
    decoder = recogniser.begin("grammar")
    assert not decoder.knows("pump")
    decoder.end()
    monkeypatch.setattr("sys.executable", "/bin/false")  # nothing can be compiled any more
    recogniser.prepare(Toolset([HATCH, PUMP]))
    assert recogniser.begin("grammar").knows("pump")
    recogniser.close()


def test_words_that_cannot_be_learned_leave_the_old_ones(tmp_path: Path) -> None:
    recogniser = SphinxRecogniser(SphinxSettings(cache=tmp_path))
    recogniser.prepare(Toolset([HATCH]))
    with pytest.raises(BadToolSchema):
        recogniser.prepare(Toolset([HATCH, WRONG]))
    recogniser.begin("grammar")
    recogniser.close()


def test_a_disk_that_takes_nothing_costs_only_the_time(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="full"):
        compiled.compiled(Toolset([HATCH]), full)
    recogniser = SphinxRecogniser(SphinxSettings(cache=full))
    recogniser.prepare(Toolset([PUMP]))
    assert recogniser.begin("grammar").knows("pump")
    recogniser.close()
    assert full.read_text().startswith("a file")


def walk(network: Network, rng: random.Random) -> list[str]:
    """A random sentence of a network."""
    state, said = 0, list[str]()
    while state != network.final:
        ways = [arc for arc in network.arcs if arc.start == state]
        arc = rng.choices(ways, [way.chance for way in ways])[0]
        state = arc.end
        said += [arc.word] if arc.word else []
    return said


def test_shared_ways_say_the_same_with_the_same_chances() -> None:
    verbs = [f"verb{number}" for number in range(12)]
    arcs = [Arc(0, 1, 1 / 24, verb) for verb in verbs] + [Arc(0, 2, 0.5, "please"), Arc(1, 3, 1.0, "lamp")]
    arcs += [Arc(2, 1, (2 if verb == "verb3" else 1) / 14, verb) for verb in verbs] + [Arc(2, 3, 1 / 14, "nothing")]
    apart = Network(tuple(arcs), 4, 3)
    shared = share_ways(apart, [30.0, 1.0, 10.0, 1.0])
    assert len(shared.arcs) < 0.7 * len(apart.arcs)
    rng = random.Random(3)
    for one, other in ((apart, shared), (shared, apart)):
        for _ in range(200):
            assert other.accepts(walk(one, rng))
    for state in range(shared.states):
        assert state == shared.final or sum(arc.chance for arc in shared.arcs if arc.start == state) == pytest.approx(
            1.0
        )
    pooled = {arc.word: arc.chance for arc in shared.arcs if arc.word.startswith("verb")}
    assert len(pooled) == 12  # laid out once; the states' opinions count as often as they were seen: 15 and 9.3 times
    expected = (15 * (1 / 12) + (130 / 14) * (2 / 13)) / (15 + 130 / 14)
    assert pooled["verb3"] == pytest.approx(expected)

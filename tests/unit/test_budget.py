"""A choice that cannot fit a board is refused before anything is loaded, with the line that would change it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from voice_needle import config as configuration
from voice_needle.assembly import open_assistant, open_registry
from voice_needle.budget import check_budget
from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.errors import BudgetError, ModelMissing


def board(name: str, tmp_path: Path, text: str = "") -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(f"profile: {name}\ndata_dir: {tmp_path / 'data'}\n{text}")
    return configuration.load(file)


def put_whisper(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data" / "models" / f"whisper-{name}"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"")


@pytest.mark.parametrize(("name", "plugins"), [("pi-zero-2w", 4), ("pi4", 4), ("pi5", 4), ("x86", 4)])
def test_every_board_carries_its_own_profile(tmp_path: Path, name: str, plugins: int):
    config = board(name, tmp_path)
    put_whisper(tmp_path, config.transcribe.whisper_model)
    assert 0 < check_budget(config, plugins) <= config.budget.memory_mb


def test_whisper_on_a_zero_is_refused_with_the_line_to_change(tmp_path: Path):
    put_whisper(tmp_path, "tiny.en")
    config = board("pi-zero-2w", tmp_path, "transcribe: {engine: whisper}\n")
    with pytest.raises(BudgetError, match=r"Whisper tiny\.en \d+ MB.*pi-zero-2w has 300 MB") as caught:
        check_budget(config, 1)
    assert "transcribe: {engine: sphinx}" in caught.value.fix
    fixed = board("pi-zero-2w", tmp_path, "transcribe: {engine: sphinx}\n")
    assert check_budget(fixed, 1) <= 300


def test_too_many_plugins_for_a_zero_are_refused(tmp_path: Path):
    with pytest.raises(BudgetError) as caught:
        check_budget(board("pi-zero-2w", tmp_path), 6)
    assert "dispatch: {plugins: [home]}" in caught.value.fix


def test_the_full_grammar_on_a_zero_is_refused_with_the_line_to_change(tmp_path: Path):
    with pytest.raises(BudgetError) as caught:
        check_budget(board("pi-zero-2w", tmp_path, "transcribe: {grammar: full}\n"), 4)
    assert "transcribe: {grammar: small}" in caught.value.fix
    assert check_budget(board("pi-zero-2w", tmp_path, "transcribe: {grammar: small}\n"), 4) <= 300


def test_automatic_choice_counts_what_is_installed(tmp_path: Path):
    config = board("pi4", tmp_path)
    without = check_budget(config, 1)
    put_whisper(tmp_path, "tiny.en")
    assert check_budget(config, 1) > without
    with pytest.raises(ModelMissing):
        check_budget(board("pi4", tmp_path, "transcribe: {engine: whisper, whisper_model: base.en}\n"), 1)


async def test_the_assistant_does_not_start_over_its_budget(tmp_path: Path):
    config = board("pi-zero-2w", tmp_path)
    config = replace(config, budget=replace(config.budget, memory_mb=64))
    with pytest.raises(BudgetError):
        async with open_assistant(config, RealClock(), open_registry(config, ["desk"]), input_file=Path("/dev/null")):
            pass
    assert not (tmp_path / "data" / "ledger.db").exists()

from __future__ import annotations

import time
from pathlib import Path

import pytest

from voice_needle.dispatch import registry as registries
from voice_needle.dispatch.registry import Registry
from voice_needle.errors import UnknownTool


def plugin(parent: Path, name: str, *tools: str, description: str = "D.", folder: str = "") -> Path:
    made = parent / (folder or name)
    made.mkdir(parents=True, exist_ok=True)
    listed = "".join(f"  {tool}: {{description: {description}, handler: {{command: [ls]}}}}\n" for tool in tools)
    (made / "plugin.yaml").write_text(f"plugin: {name}\ndescription: {description}\ntools:\n{listed}")
    return made


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    places = [tmp_path / "bundled", tmp_path / "etc", tmp_path / "user"]
    plugin(places[0], "home", "lamp")
    plugin(places[0], "car", "window")
    return places


def open_(places: list[Path], **options: object) -> Registry:
    return Registry(places, cache=places[0].parent / "cache", **options)  # type: ignore[arg-type]


def test_a_later_folder_overrides_by_name(places: list[Path]) -> None:
    plugin(places[2], "home", "lamp", "blind", description="Mine.", folder="my_own_home")
    registry = open_(places)
    assert sorted(registry.toolset()) == ["blind", "lamp", "window"]
    assert registry.tool("lamp").description == "Mine."


def test_a_broken_manifest_stops_nothing_else_and_does_not_fall_back(places: list[Path]) -> None:
    broken = plugin(places[1], "home", "lamp") / "plugin.yaml"
    broken.write_text(broken.read_text().replace("tools:", "toolz:"))
    registry = open_(places)
    assert list(registry.toolset()) == ["window"]
    assert [(problem.file, problem.line, problem.nearest) for problem in registry.problems if problem.nearest] == [
        (broken, 3, "tools")
    ]


def test_enabled_and_disabled(places: list[Path]) -> None:
    assert list(open_(places, enabled=["home"]).toolset()) == ["lamp"]
    assert list(open_(places, disabled=["home"]).toolset()) == ["window"]
    (problem,) = open_(places, enabled=["hoem", "car"]).problems
    assert problem.nearest == "home" and "'hoem'" in problem.message


def test_one_tool_name_in_two_plugins_is_reported(places: list[Path]) -> None:
    plugin(places[1], "zoo", "lamp", "feed")
    registry = open_(places)
    assert registry.tool("lamp").plugin == "home" and "feed" in registry.toolset()
    assert "already in the plugin home" in str(registry.problems[0]) and registry.problems[0].line == 4


def test_a_binding_to_a_tool_that_nobody_has(places: list[Path]) -> None:
    text = """
plugin: stock
description: D.
tools:
  move:
    description: M.
    parameters: {bin: {type: string}, door: {type: string}}
    handler: {command: [ls]}
    bindings: {bin: finds.bin, door: window.door}
"""
    (places[1] / "stock").mkdir(parents=True)
    (places[1] / "stock" / "plugin.yaml").write_text(text)
    registry = open_(places)
    assert [(problem.line, "finds" in problem.message) for problem in registry.problems] == [(9, True)]
    assert "move" in registry.toolset()


def test_an_unknown_tool_names_the_nearest(places: list[Path]) -> None:
    with pytest.raises(UnknownTool, match="the nearest is window"):
        open_(places).tool("windo")


def test_changes_are_seen_and_swapped_in_whole(places: list[Path]) -> None:
    registry = open_(places)
    before = registry.toolset()
    assert not registry.changed()
    plugin(places[2], "garden", "pump")
    assert registry.changed() and registry.toolset() is before
    registry.reload()
    assert "pump" in registry.toolset() and "pump" not in before and not registry.changed()


def test_an_unchanged_reload_keeps_the_same_toolset(places: list[Path]) -> None:
    registry = open_(places)
    before = registry.toolset()
    registry.reload()
    assert registry.toolset() is before


def test_no_folder_at_all(tmp_path: Path) -> None:
    assert list(Registry([tmp_path / "nowhere"], cache=tmp_path / "cache").toolset()) == []


def test_standard_folders_end_with_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    bundled, system, user = registries.standard_folders()
    assert (bundled.name, str(system)) == ("tool_plugins", "/etc/voice-needle/tools.d")
    assert user == tmp_path / "voice-needle" / "tools"


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_only_time(places: list[Path]) -> None:
    open_(places)
    cache = places[0].parent / "cache"
    kept = list(cache.glob("*.json"))
    assert len(kept) == 2
    for file in kept:
        file.write_text('{"plugin": ')
    assert len(open_(places).toolset()) == 2
    assert len(Registry(places, cache=places[0] / "home" / "plugin.yaml").toolset()) == 2


def test_three_hundred_tools_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        plugin(tmp_path / "tools", f"p{number}", *(f"t{number}_{n}" for n in range(10)))
    first = Registry([tmp_path / "tools"], cache=tmp_path / "cache").toolset()

    def never(*args: object, **options: object) -> None:
        raise AssertionError("a manifest was parsed again")

    monkeypatch.setattr("voice_needle.dispatch.manifest.check", never)
    begun = time.perf_counter()
    again = Registry([tmp_path / "tools"], cache=tmp_path / "cache").toolset()
    print(f"300 tools from the cache: {(time.perf_counter() - begun) * 1000:.0f} ms")
    assert len(again) == 300 and list(again.values()) == list(first.values())

"""Every plugin that comes with voice_needle keeps the contract of plugin.yaml."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from voice_needle.dispatch import manifest, manifest_build, manifest_schema
from voice_needle.dispatch.registry import Registry, bundled_folder
from voice_needle.events import Status
from voice_needle.tools import Confirm, OnBargeIn, Risk

BUNDLED = sorted(path.parent for path in bundled_folder().glob("*/plugin.yaml"))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(manifest_schema.schema())


def test_the_schema_and_the_code_know_the_same_words() -> None:
    known = manifest_schema.schema()["$defs"]
    policy = known["policy"]["properties"]
    assert policy["risk"]["enum"] == [risk.value for risk in Risk]
    assert policy["confirm"]["enum"] == [confirm.value for confirm in Confirm]
    assert set(policy["on_barge_in"]["enum"]) == {wish.value for wish in OnBargeIn}
    assert set(known["say"]["properties"]["on"]["properties"]) == {status.value for status in Status} - {"ok"}
    types = set(known["parameter"]["properties"]["type"]["enum"])
    assert types == {"string", "integer", "number", "boolean", "list", *manifest_build.FORMATS}


@pytest.mark.parametrize("folder", BUNDLED, ids=lambda folder: folder.name)
def test_a_bundled_plugin_is_right(folder: Path) -> None:
    loaded, problems = manifest.load(folder, across=True)
    assert not problems, "\n".join(map(str, problems))
    assert loaded is not None and loaded.plugin == folder.name
    for tool in loaded.tools:
        Draft202012Validator.check_schema(dict(tool.parameters))
        for name, schema in tool.properties.items():
            default = schema.get("default")
            if "default" in schema and default != "$room":
                assert Draft202012Validator(schema).is_valid(default), f"{tool.name}.{name}"


@pytest.mark.parametrize("folder", BUNDLED, ids=lambda folder: folder.name)
def test_a_bundled_plugin_imports_only_the_plugin_api(folder: Path) -> None:
    """A plugin written outside can do all that ours do. (effects.py belongs to the scenarios' checker.)"""
    allowed = {"voice_needle.plugin", "voice_needle.errors", "voice_needle.events", "voice_needle.clock"}
    for file in set(folder.glob("*.py")) - {folder / "effects.py"}:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voice_needle"):
                assert node.module in allowed, f"{file.name}:{node.lineno} imports {node.module}"


def test_all_bundled_plugins_get_on_with_each_other(tmp_path: Path) -> None:
    registry = Registry([bundled_folder()], cache=tmp_path)
    assert not registry.problems, "\n".join(map(str, registry.problems))
    assert set(registry.plugins) == {folder.name for folder in BUNDLED}

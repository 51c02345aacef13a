"""plugin.yaml -> a Manifest with its tools. Every mistake in the file is reported at once, with its line and a suggestion.

Two passes: the shape against plugin.schema.json (typos, types, missing keys), then the meaning (names that must exist,
templates that must balance). A tool is built only from a file without mistakes: half a manifest is not loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voice_needle.dispatch import manifest_build, manifest_checks, manifest_schema, yaml_lines
from voice_needle.dispatch.problem import Problem
from voice_needle.errors import ManifestError
from voice_needle.tools import Tool

FILE_NAME = "plugin.yaml"
HANDLERS_NAME = "handlers.py"

Vocabularies = Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Manifest:
    """One plugin as its file describes it."""

    plugin: str
    description: str
    file: Path
    tools: tuple[Tool, ...]
    document: Mapping[str, Any] = field(repr=False)  # the file as read; what the rest is built from
    settings: Mapping[str, Any] = field(default_factory=dict)  # name -> default, or {"secret": name}
    optional_settings: frozenset[str] = frozenset()  # a secret that may be missing
    vocabularies: Vocabularies = field(default_factory=dict)
    own_process: bool = False
    memory_mb: int = 512  # address space of its own process
    setup_timeout_ms: int = 10_000
    mcp: Mapping[str, Any] | None = None  # the MCP server whose tools this plugin offers

    @property
    def folder(self) -> Path:
        return self.file.parent

    def with_vocabularies(self, found: Mapping[str, Mapping[str, Any]]) -> tuple[Tool, ...]:
        """The tools again, with values found at run time added to the declared ones."""
        return manifest_build.tools(self.document, found)


def load(file: Path, *, across: bool = False) -> tuple[Manifest | None, list[Problem]]:
    """Read one plugin.yaml (or the folder it is in). The manifest is None when there is any problem.

    across: a binding may name a tool of another plugin; whether that exists is left to the registry.
    """
    file = file / FILE_NAME if file.is_dir() else file
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, [Problem(file, 1, f"not UTF-8 text (byte {error.start})")]
    except OSError as error:
        return None, [Problem(file, 1, f"cannot be read: {error.strerror}")]
    document, problems = check(text, file, across=across)
    return (None, problems) if problems else (build(document, file), [])


def load_or_raise(file: Path) -> Manifest:
    """Read one plugin.yaml. Errors: ManifestError naming every mistake."""
    manifest, problems = load(file)
    if manifest is None:
        raise ManifestError("\n".join(str(problem) for problem in problems), fix=f"edit {problems[0].file}")
    return manifest


def check(text: str, file: Path, *, across: bool = False) -> tuple[Any, list[Problem]]:
    """The parsed document and every mistake in it, in the order of the lines."""
    document = yaml_lines.read(text)
    problems = [Problem(file, line, message) for line, message in document.mistakes]
    if document.value is None and not problems:
        problems.append(Problem(file, 1, "the file is empty"))
    elif document.value is not None:
        shape = manifest_schema.problems(document, file)
        problems += shape
        if isinstance(document.value, dict):
            problems += manifest_checks.problems(document, file, across=across)
    unique = {(problem.line, problem.message): problem for problem in problems}
    return document.value, sorted(unique.values(), key=lambda problem: problem.line)


def build(document: Mapping[str, Any], file: Path) -> Manifest:
    """A manifest from a document that `check` found no mistake in."""
    limits = document.get("limits") or {}
    settings, optional = manifest_build.settings(document)
    return Manifest(
        plugin=document["plugin"],
        description=document["description"],
        file=file,
        tools=manifest_build.tools(document),
        document=document,
        settings=settings,
        optional_settings=optional,
        vocabularies=manifest_build.vocabularies(document),
        own_process=document.get("isolation") == "process",
        memory_mb=limits.get("memory_mb", 512),
        setup_timeout_ms=limits.get("setup_timeout_ms", 10_000),
        mcp=document.get("mcp"),
    )


def content_hash(folder: Path) -> str:
    """SHA-256 over what a manifest is checked against: plugin.yaml and the Python files beside it."""
    digest = hashlib.sha256(manifest_schema.fingerprint())
    for path in [folder / FILE_NAME, *sorted(folder.glob("*.py"))]:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def line_of(manifest: Manifest, path: tuple[str | int, ...]) -> int:
    """The line of a part of a manifest that is already loaded; 1 when its file has gone."""
    try:
        return yaml_lines.read(manifest.file.read_text(encoding="utf-8-sig")).line(path)
    except (OSError, UnicodeDecodeError):
        return 1

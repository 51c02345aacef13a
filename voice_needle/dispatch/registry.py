"""Finds the plugin folders, reads their manifests, and offers the tools of those that are right and enabled.

Folders are read in this order, a later plugin of the same name taking the place of an earlier one: those that come with
voice_needle, /etc/voice-needle/tools.d, the user's $XDG_CONFIG_HOME/voice-needle/tools. A broken manifest is reported and
stops nothing else; it does not fall back to the one it overrides, which may lack the owner's safety rules.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import voice_needle
from voice_needle.dispatch import manifest as manifests
from voice_needle.dispatch.manifest import FILE_NAME, Manifest
from voice_needle.dispatch.manifest_cache import ManifestCache
from voice_needle.dispatch.problem import Problem, nearest
from voice_needle.errors import UnknownTool
from voice_needle.tools import Tool, Toolset

SYSTEM_FOLDER = Path("/etc/voice-needle/tools.d")


def bundled_folder() -> Path:
    """The plugins that come with voice_needle: in the wheel, or beside the package in a source checkout."""
    package = Path(voice_needle.__file__).resolve().parent
    installed = package / "_bundled" / "tool_plugins"
    return installed if installed.is_dir() else package.parent / "tool_plugins"


def user_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "voice-needle" / "tools"


def standard_folders() -> tuple[Path, ...]:
    return bundled_folder(), SYSTEM_FOLDER, user_folder()


@dataclass(frozen=True)
class _Loaded:
    """One consistent view of all plugins; replaced as a whole, never changed."""

    plugins: Mapping[str, Manifest] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    stamps: Mapping[Path, tuple[tuple[str, int, int], ...]] = field(default_factory=dict)


class Registry:
    """All plugins. Reading is cheap and never sees half of a reload.

    folders: where plugin folders lie, later ones overriding earlier ones. enabled: only these plugins (None: all);
    disabled: not these. cache: where checked manifests are kept by content hash; None uses the user's cache folder.
    """

    def __init__(
        self,
        folders: Sequence[Path] | None = None,
        *,
        enabled: Sequence[str] | None = None,
        disabled: Sequence[str] = (),
        cache: Path | None = None,
    ) -> None:
        self._folders = tuple(folders) if folders is not None else standard_folders()
        self._enabled = None if enabled is None else frozenset(enabled)
        self._disabled = frozenset(disabled)
        self._cache = ManifestCache(cache)
        self._found_at_run_time: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self._extra_tools: dict[str, tuple[Tool, ...]] = {}
        self._loaded = _Loaded()
        self._toolset = Toolset()
        self._offered, self._offered_of = self._toolset, self._toolset
        self.reload()

    # --- what is there ---

    @property
    def plugins(self) -> Mapping[str, Manifest]:
        """Plugin name -> manifest, of those that are right and enabled."""
        return self._loaded.plugins

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every mistake in every manifest, disabled plugins left out."""
        return self._loaded.problems

    def toolset(self) -> Toolset:
        """All tools offered now; the same object until something changes."""
        return self._toolset

    def offered(self) -> Toolset:
        """The tools that a person can ask for: those that only take others back are left out. The same object until a change."""
        if self._offered_of is not self._toolset:
            only_undo = {tool.policy.undo.tool for tool in self._toolset.values() if tool.policy.undo is not None}
            kept = (tool for tool in self._toolset.values() if tool.sentences or tool.name not in only_undo)
            self._offered, self._offered_of = Toolset(kept), self._toolset
        return self._offered

    def tool(self, name: str) -> Tool:
        """One tool. Errors: UnknownTool, with the nearest name."""
        if name in self._toolset:
            return self._toolset[name]
        near = nearest(name, self._toolset)
        hint = f"; the nearest is {near}" if near else ""
        raise UnknownTool(f"there is no tool called {name}{hint}")

    # --- change ---

    def changed(self) -> bool:
        """Whether any plugin folder differs from what was loaded (by name, size and modification time)."""
        return _stamps(self._folders) != self._loaded.stamps

    def reload(self) -> tuple[Problem, ...]:
        """Read everything again and swap it in at once. Returns the problems."""
        stamps = _stamps(self._folders)
        plugins: dict[str, Manifest] = {}
        problems: dict[str, list[Problem]] = {}
        present: set[str] = set()
        for folder in stamps:
            found, mistakes = self._cache.load(folder)
            name = found.plugin if found else _claimed_name(folder)
            present.add(name)
            if not self._wanted(name):
                continue
            plugins.pop(name, None)
            problems.pop(name, None)
            if found:
                plugins[name] = found
            if mistakes:
                problems[name] = mistakes
        cross = _across(plugins)
        unknown = self._unknown_names(present)
        flat = [problem for mistakes in problems.values() for problem in mistakes]
        self._loaded = _Loaded(plugins, (*flat, *cross, *unknown), stamps)
        self._found_at_run_time = {k: v for k, v in self._found_at_run_time.items() if k in plugins}
        self._extra_tools = {k: v for k, v in self._extra_tools.items() if k in plugins}
        self._rebuild()
        return self._loaded.problems

    def merge_vocabularies(self, plugin: str, found: Mapping[str, Mapping[str, Any]]) -> bool:
        """Add values found at run time (vocabulary -> value -> spoken forms) to a plugin. True when the tools changed."""
        if plugin not in self.plugins or self._found_at_run_time.get(plugin, {}) == found:
            return False
        self._found_at_run_time[plugin] = {name: dict(forms) for name, forms in found.items()}
        return self._rebuild()

    def set_extra_tools(self, plugin: str, tools: Sequence[Tool]) -> bool:
        """Tools that a plugin found at run time (those of an MCP server). True when the tools changed."""
        if plugin not in self.plugins or self._extra_tools.get(plugin, ()) == tuple(tools):
            return False
        self._extra_tools[plugin] = tuple(tools)
        return self._rebuild()

    def _wanted(self, name: str) -> bool:
        return name not in self._disabled and (self._enabled is None or name in self._enabled)

    def _unknown_names(self, present: set[str]) -> list[Problem]:
        return [
            Problem(
                Path("plugins"), 1, f"no plugin is called '{name}', but it is enabled", nearest(name, sorted(present))
            )
            for name in sorted(self._enabled or ())
            if name not in present
        ]

    def _rebuild(self) -> bool:
        tools: dict[str, Tool] = {}
        for name, manifest in self.plugins.items():
            found = self._found_at_run_time.get(name)
            declared = manifest.with_vocabularies(found) if found else manifest.tools
            for tool in (*declared, *self._extra_tools.get(name, ())):
                tools.setdefault(tool.name, tool)
        fresh = Toolset(tools.values())
        same = list(fresh.values()) == list(self._toolset.values())
        if not same:
            self._toolset = fresh
        return not same


def _claimed_name(folder: Path) -> str:
    """The name of a plugin whose manifest is broken: what its first lines say, else its folder's name."""
    try:
        for line in (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace").splitlines()[:50]:
            if line.startswith("plugin:"):
                return line.partition(":")[2].partition("#")[0].strip().strip("\"'") or folder.name
    except OSError:
        pass
    return folder.name


def _across(plugins: dict[str, Manifest]) -> list[Problem]:
    """What can only be seen with all plugins together: one tool name twice, bindings to tools that nobody has."""
    problems: list[Problem] = []
    owner: dict[str, str] = {}
    for name, manifest in plugins.items():
        for tool in manifest.tools:
            first = owner.setdefault(tool.name, name)
            if first != name:
                line = manifests.line_of(manifest, ("tools", tool.name))
                message = f"the tool {tool.name} is already in the plugin {first}; this one is not used"
                problems.append(Problem(manifest.file, line, message))
    for manifest in plugins.values():
        if manifest.mcp:
            continue
        for tool in manifest.tools:
            for parameter, source in tool.result_bindings.items():
                wanted = source.partition(".")[0]
                if wanted not in owner:
                    line = manifests.line_of(manifest, ("tools", tool.name, "bindings", parameter))
                    message = f"there is no tool '{wanted}'; the binding of {parameter} is never used"
                    problems.append(Problem(manifest.file, line, message, nearest(wanted, owner)))
    return problems


def _stamps(folders: Sequence[Path]) -> dict[Path, tuple[tuple[str, int, int], ...]]:
    """Every plugin folder, with (name, size, modification time in ns) of the files its meaning depends on."""
    found: dict[Path, tuple[tuple[str, int, int], ...]] = {}
    for parent in folders:
        try:
            children = sorted((entry for entry in os.scandir(parent) if entry.is_dir()), key=lambda entry: entry.name)
        except OSError:
            continue
        for child in children:
            files = _files(Path(child.path))
            if any(name == FILE_NAME for name, _, _ in files):
                found[Path(child.path)] = files
    return found


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = []
    try:
        for entry in os.scandir(folder):
            if entry.name == FILE_NAME or entry.name.endswith(".py"):
                stat = entry.stat()
                files.append((entry.name, stat.st_size, stat.st_mtime_ns))
    except OSError:
        pass
    return tuple(sorted(files))

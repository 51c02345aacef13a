"""Keeps manifests that were read and checked once, by content hash, so that hundreds of tools load in no time."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from voice_needle.dispatch import manifest as manifests
from voice_needle.dispatch.manifest import FILE_NAME, Manifest
from voice_needle.dispatch.problem import Problem


def default_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "voice-needle" / "manifests"


class ManifestCache:
    """Checked documents on disk, one JSON file each. A cache that cannot be read or written is only slower."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or default_folder()

    def load(self, plugin_folder: Path) -> tuple[Manifest | None, list[Problem]]:
        """Like manifest.load, where bindings to other plugins' tools are left for the registry to judge."""
        file = plugin_folder / FILE_NAME
        kept = self._folder / f"{manifests.content_hash(plugin_folder)}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(kept.read_text(encoding="utf-8"))
            return manifests.build(document, file), []
        manifest, problems = manifests.load(file, across=True)
        if manifest is not None:
            self._keep(kept, json.dumps(manifest.document))
        return manifest, problems

    def _keep(self, file: Path, text: str) -> None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._folder, delete=False) as scratch:
                scratch.write(text)
            os.replace(scratch.name, file)

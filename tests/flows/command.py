"""voice-needle as a user runs it: a process of its own, with folders of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Home:
    """A user's home: nothing of the machine's own configuration is seen from it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_RUNTIME_DIR": str(self.folder),
            "NO_COLOR": "1",
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "voice_needle", *map(str, arguments)]

    def run(
        self, *arguments: str | Path, seconds: float = 90, environment: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env={**self.environment, **(environment or {})}, capture_output=True, text=True,
            timeout=seconds, check=False, **more,
        )  # fmt: skip

    def config(self, text: str) -> Path:
        file = self.folder / "config.yaml"
        file.write_text(text)
        return file


def told(done: subprocess.CompletedProcess[str]) -> Sequence[str]:
    """What an error said: its sentence(s), without a traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()

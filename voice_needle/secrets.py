"""Passwords and tokens: read from a private file or systemd credentials, shown and logged nowhere.

The file holds lines of NAME=value and must be readable by its owner alone. systemd puts each credential into its own file
under $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=); these win over the file. A setting refers to one as
`{secret: NAME}`.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from voice_needle.errors import ConfigError

MASK = "•••"
_SHORTEST_MASKED = 4  # masking "on" or "1" everywhere would hide the log, not the secret


class Redacted(str):
    """A secret's value: usable as text, but its repr shows nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


def default_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "voice-needle" / "secrets"


class Secrets:
    """All secrets by name. Nothing is kept of the file but the values."""

    def __init__(self, values: Mapping[str, str] | None = None, source: str = "the secrets file") -> None:
        self._values = {name: Redacted(value) for name, value in (values or {}).items()}
        self._source = source

    @classmethod
    def load(cls, file: Path | None = None) -> Secrets:
        """Read the file (none is fine) and systemd's credentials.

        Errors: ConfigError when the file can be read by others, or a line is not NAME=value.
        """
        file = file or default_file()
        values = _read_file(file)
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder and Path(folder).is_dir():
            for entry in sorted(Path(folder).iterdir()):
                if entry.is_file():
                    values[entry.name] = entry.read_text(encoding="utf-8").rstrip("\n")
        return cls(values, str(file))

    def get(self, name: str) -> Redacted:
        """One secret. Errors: ConfigError saying where to put it."""
        if name not in self._values:
            raise ConfigError(
                f"the secret {name} is not there",
                fix=f"add the line {name}=... to {self._source}, then: chmod 600 {self._source}",
                spoken="A password that I need is missing.",
            )
        return self._values[name]

    def resolve(self, settings: Mapping[str, Any], owner: str, optional: Collection[str] = ()) -> dict[str, Any]:
        """Settings with every {"secret": NAME} replaced; one in `optional` that is missing becomes None."""
        resolved: dict[str, Any] = {}
        for key, value in settings.items():
            missing = isinstance(value, Mapping) and set(value) == {"secret"} and value["secret"] not in self._values
            resolved[key] = None if missing and key in optional else self._resolve(value)
        return resolved

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if set(value) == {"secret"}:
                return self.get(str(value["secret"]))
            return {key: self._resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        return value

    def mask(self, text: str) -> str:
        """`text` with every secret in it made unreadable."""
        for value in sorted(self._values.values(), key=len, reverse=True):
            if len(value) >= _SHORTEST_MASKED:
                text = text.replace(str(value), MASK)
        return text

    def mask_deep(self, value: Any) -> Any:
        """The same for every text inside mappings and lists."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {key: self.mask_deep(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_deep(item) for item in value]
        return value

    def __repr__(self) -> str:
        return f"Secrets({sorted(self._values)})"


class MaskSecrets(logging.Filter):
    """Put on every log handler: no secret gets into a log, not in a message, an argument or a traceback."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._secrets.mask(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._secrets.mask(record.exc_text)
        return True


def _read_file(file: Path) -> dict[str, str]:
    try:
        mode = file.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"{file} can be read by others (mode {stat.S_IMODE(mode):04o})", fix=f"chmod 600 {file}")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", fix=f"ls -l {file}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip().replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise ConfigError(f"{file}:{number}: a line must be NAME=value", fix=f"edit {file}")
        values[name.strip()] = value.strip()
    return values

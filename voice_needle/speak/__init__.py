"""results -> sound."""

from __future__ import annotations

import shutil
from pathlib import Path

from voice_needle.errors import ConfigError, EngineMissing
from voice_needle.speak.engine import Voice

ENGINES = ("auto", "piper", "espeak", "flite")


def get_voice(
    engine: str = "auto",
    *,
    voice: str = "",
    rate_wpm: int = 170,
    models_dir: Path = Path("models"),
    threads: int = 1,
) -> Voice:
    """The voice of that engine, not started yet. `auto`: Piper where a voice is installed, else espeak-ng, else flite.

    voice: the engine's own name for it, "" for its default. rate_wpm: 170 is normal, for every engine. threads: Piper's.
    Errors: ConfigError, EngineMissing, ModelMissing.
    """
    if engine == "auto":
        engine, voice = _automatic(voice, models_dir)
    match engine:
        case "piper":
            from voice_needle.speak.piper import Piper, find_voice

            return Piper(find_voice(models_dir, voice), threads=threads, length_scale=_scale(rate_wpm))
        case "espeak":
            from voice_needle.speak.espeak import Espeak

            return Espeak(voice=voice or "en-gb", rate_wpm=rate_wpm)
        case "flite":
            from voice_needle.speak.espeak import Flite

            return Flite(voice=voice or "slt", stretch=_scale(rate_wpm) or 1.0)
    raise ConfigError(f"there is no voice engine {engine!r}; there are {', '.join(ENGINES)}")


def _scale(rate_wpm: int) -> float | None:
    return None if rate_wpm == 170 else 170.0 / rate_wpm


def _automatic(voice: str, models_dir: Path) -> tuple[str, str]:
    from importlib.util import find_spec

    from voice_needle.speak.piper import installed_voices

    found = installed_voices(models_dir)
    if found and find_spec("piper") is not None and (not voice or any(voice in path.name for path in found)):
        return "piper", voice
    for engine, program in (("espeak", "espeak-ng"), ("flite", "flite")):
        if shutil.which(program):
            return engine, voice
    raise EngineMissing("there is no voice: neither espeak-ng nor flite is installed", fix="sudo apt install espeak-ng")

"""A service that cannot start says why, aloud, once: not again at each of its restarts, and again when it is another reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from voice_needle.config import Config
from voice_needle.errors import VoiceNeedleError

log = logging.getLogger(__name__)
NAME = "last-words"  # in the service's runtime folder, which outlives a restart but not a stop


def tell(
    config: Config, error: VoiceNeedleError, environment: Mapping[str, str] = os.environ,
    speak: Callable[[Config, str], None] | None = None,
) -> bool:  # fmt: skip
    """Say what is wrong, where systemd started us and it was not said before. True: it was said."""
    file = _file(environment)
    if file is None or _read(file) == error.spoken:
        return False
    file.write_text(error.spoken, encoding="utf-8")
    try:
        (speak or say)(config, error.spoken)
    except VoiceNeedleError as mute:
        log.warning("it could not be said aloud: %s", mute)
        return False
    return True


def forget(environment: Mapping[str, str] = os.environ) -> None:
    """All is well: the next fault is a new one."""
    file = _file(environment)
    if file is not None:
        file.unlink(missing_ok=True)


def _file(environment: Mapping[str, str]) -> Path | None:
    folder = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / NAME if folder and environment.get("NOTIFY_SOCKET") else None


def _read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8")
    return ""


def say(config: Config, text: str) -> None:
    """Speak with the configured voice. Errors: those of voice and speaker."""
    from voice_needle.assembly import make_sink, make_voice
    from voice_needle.clock import RealClock
    from voice_needle.speak.speaker import Speaker

    async def speak() -> None:
        speaker = Speaker(make_voice(config), make_sink(config, RealClock()))
        try:
            await speaker.start()
            await speaker.say(text)
        finally:
            await speaker.close()

    asyncio.run(speak())

"""The utterances in a sound file, cut exactly as the assistant would cut them on a microphone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from voice_needle.config import Listen
from voice_needle.events import Utterance
from voice_needle.listen.endpoint import Ended
from voice_needle.listen.files import FileSource


def utterances_of(file: Path, settings: Listen) -> Iterator[Utterance]:
    """Each stretch of speech in `file`, in order. Errors: BadAudioFile."""
    from voice_needle.assembly import make_endpointer, make_vad

    async def cut() -> list[Utterance]:
        vad, endpointer, found = make_vad(settings), make_endpointer(settings), []
        async with FileSource(file, tail_ms=settings.end_silence_ms + 500) as source:
            async for frame in source.frames():
                found += endpointer.feed(frame, vad.speech_probability(frame))
        found += endpointer.end_now()
        return [each.utterance for each in found if isinstance(each, Ended)]

    yield from asyncio.run(cut())

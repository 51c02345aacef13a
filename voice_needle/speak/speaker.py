"""Says an answer: its sentences through a voice into a sink, one being heard while the next is made; and what was heard of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from voice_needle.audio import SAMPLE_RATE_HZ, to_ms
from voice_needle.errors import EngineFailed
from voice_needle.speak.earcons import earcon
from voice_needle.speak.engine import Voice
from voice_needle.speak.sentences import split_sentences
from voice_needle.speak.sinks import Sink, Tap

CHARACTERS_PER_S = 14.0  # of a sentence whose sound is not complete yet


@dataclass(frozen=True)
class Spoken:
    """What became of an answer. said: the words that left the speaker; unsaid: the rest; played_ms: how much sound that was."""

    said: str = ""
    unsaid: str = ""
    played_ms: float = 0.0


@dataclass
class _Piece:
    """A sentence and where its sound lies in the sink, in samples."""

    text: str
    start: int | None = None
    end: int | None = None  # known when all of it is queued


class _Answer:
    """Follows one answer's sentences through the sink."""

    def __init__(self, sentences: list[str]) -> None:
        self.pieces = [_Piece(sentence) for sentence in sentences]

    def spoken(self, heard: int) -> Spoken:
        """What was said when the sink had played up to `heard`."""
        said: list[str] = []
        unsaid: list[str] = []
        played = 0
        for piece in self.pieces:
            words = piece.text.split()
            count = _words_heard(piece, words, heard)
            said += words[:count]
            unsaid += words[count:]
            if piece.start is not None:
                played += max(0, min(heard, piece.end if piece.end is not None else heard) - piece.start)
        return Spoken(" ".join(said), " ".join(unsaid), to_ms(played))


def _words_heard(piece: _Piece, words: list[str], heard: int) -> int:
    """How many words of a sentence are over at `heard`: by their share of its letters, a pause counting as two."""
    if piece.start is None or heard <= piece.start:
        return 0
    if piece.end is not None and heard >= piece.end:
        return len(words)
    weights = [len(word) + (2 if re.search(r"[,;:]$", word) else 1) for word in words]
    guess = int(sum(weights) / CHARACTERS_PER_S * SAMPLE_RATE_HZ)
    length = piece.end - piece.start if piece.end is not None else guess
    share = (heard - piece.start) / max(1, length) * sum(weights)
    count = 0
    while count < len(words) - 1 and sum(weights[: count + 1]) <= share:
        count += 1
    return count


class Speaker:
    """A voice and the sink that it speaks into. One answer at a time."""

    def __init__(self, voice: Voice, sink: Sink) -> None:
        self.voice, self.sink = voice, sink
        self._answer: _Answer | None = None
        self._playing = 0

    async def start(self) -> None:
        """Open the sink and warm the voice. Errors: NoSpeaker, UnknownDevice, EngineMissing, ModelMissing."""
        await self.sink.start()
        await self.voice.start()

    @property
    def speaking(self) -> bool:
        """Something is being played, or paused."""
        return self._playing > 0

    @property
    def so_far(self) -> Spoken:
        """What was heard of the answer in progress; of nothing, when none is."""
        return self._answer.spoken(self.sink.heard) if self._answer is not None else Spoken()

    async def say(self, text: str, *, on_start: Callable[[], None] | None = None) -> Spoken:
        """Say it, and return when the last of it has left the speaker, or it was stopped.

        on_start: called when the first sound is handed to the sink. Cancelled, it stops at once; `stop` then tells what was
        said. Errors: EngineFailed, DeviceLost.
        """
        answer = self._answer = _Answer(split_sentences(text))
        began = False

        def begin() -> None:
            nonlocal began
            if not began:
                began = True
                self._playing += 1
                if on_start is not None:
                    on_start()

        try:
            for piece in answer.pieces:
                if not await self._sentence(piece, begin):
                    break
            await self.sink.drain()
        except BaseException:
            if self._answer is answer:
                self._halt()
            raise
        finally:
            self._playing -= began
        if self._answer is not answer:  # stopped meanwhile
            return self._stopped
        self._answer = None
        return answer.spoken(self.sink.queued)

    async def _sentence(self, piece: _Piece, begin: Callable[[], None]) -> bool:
        """Queue one sentence. False: it was flushed. A voice that fails before its first sound is tried once more."""
        for attempt in (1, 2):
            try:
                async with aclosing(self.voice.synthesise(piece.text)) as sound:
                    async for samples in sound:
                        if piece.start is None:
                            piece.start = self.sink.queued
                        begin()
                        if not await self.sink.play(samples):
                            return False
                break
            except EngineFailed:
                if attempt == 2 or piece.start is not None:
                    raise
        piece.end = self.sink.queued
        return True

    async def tone(self, name: str) -> None:
        """Play an earcon to its end. Errors: ConfigError for an unknown name, DeviceLost."""
        self._playing += 1
        try:
            if await self.sink.play(earcon(name)):
                await self.sink.drain()
        finally:
            self._playing -= 1

    def stop(self) -> Spoken:
        """Silence within one block, and what was said until then; of the last answer, if it is over already."""
        if self._answer is not None:
            self._halt()
        return self._stopped

    _stopped = Spoken()

    def _halt(self) -> None:
        answer, self._answer = self._answer, None
        stopped_at = self.sink.flush()
        if answer is not None:
            self._stopped = answer.spoken(stopped_at)

    def duck(self, db: float) -> None:
        """`db` decibels quieter within one block; 0 restores."""
        self.sink.duck(db)

    def pause(self) -> None:
        """Silence within one block; `resume` goes on with the next word."""
        self.sink.pause()

    def resume(self) -> None:
        self.sink.resume()

    def add_tap(self, tap: Tap) -> None:
        """Give every played block, with its device time, to `tap`: the reference of echo cancellation."""
        self.sink.add_tap(tap)

    async def close(self) -> None:
        self.stop()
        await self.voice.close()
        await self.sink.close()

"""What every recogniser is: an utterance in, a Transcript out; partials while the user still speaks, where it can."""

from __future__ import annotations

from typing import Protocol

from voice_needle.audio import Samples
from voice_needle.events import Transcript, Utterance
from voice_needle.tools import Toolset


class Stream(Protocol):
    """One utterance as it arrives. Used from one worker thread."""

    @property
    def ended(self) -> bool:
        """It is spent, or another stream or utterance has taken its place: it can no longer be fed or asked."""
        ...

    def feed(self, samples: Samples) -> None:
        """More sound: (n,) int16 at 16 kHz."""
        ...

    def partial(self) -> Transcript:
        """The words so far; final=False. Cheap enough to ask every 100 ms."""
        ...

    def finish(self) -> Transcript:
        """The final words. The stream is spent afterwards."""
        ...


class Recogniser(Protocol):
    """sphinx, whisper."""

    name: str

    def prepare(self, tools: Toolset) -> None:
        """Learn the registered tools' words (language model, dictionary, hotwords). May be called again with others."""
        ...

    def transcribe(self, utterance: Utterance) -> Transcript:
        """The whole utterance at once. Errors: EngineFailed."""
        ...

    def stream(self) -> Stream | None:
        """A new stream, or None where the engine has no partial results."""
        ...

    def close(self) -> None:
        """Give models and processes back."""
        ...

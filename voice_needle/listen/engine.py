"""What every source of sound and every voice-activity detector is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from voice_needle.audio import Samples


class Source(Protocol):
    """A microphone, a sound file or standard input: frames of 10 ms at 16 kHz mono int16."""

    name: str
    overruns: int  # stretches of sound lost because nobody took them in time

    def frames(self) -> AsyncIterator[Samples]:
        """(160,) frames until the source ends; a microphone never ends: unplugged, it waits for its return.

        Errors: NoMicrophone, UnknownDevice, BadAudioFile at the start.
        """
        ...

    async def close(self) -> None: ...


class Vad(Protocol):
    """webrtc, silero: is somebody speaking in this frame?"""

    name: str

    def speech_probability(self, frame: Samples) -> float:
        """0 to 1 for the next (160,) frame; stateful: frames in order."""
        ...

    def reset(self) -> None:
        """Forget the sound so far."""
        ...

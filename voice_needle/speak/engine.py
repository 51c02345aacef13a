"""What every voice is: a sentence in, sound out in small pieces, stoppable between any two of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from voice_needle.audio import Samples


class Voice(Protocol):
    """espeak, flite, piper. Each runs in its own process."""

    name: str

    async def start(self) -> None:
        """Start the process and speak nothing, so that the first sentence is not the slow one. Errors: EngineMissing, ModelMissing."""
        ...

    def synthesise(self, sentence: str) -> AsyncGenerator[Samples, None]:
        """Sound of one sentence at 16 kHz, piece by piece. Closing the generator stops the synthesis at once.

        Errors: EngineFailed.
        """
        ...

    async def close(self) -> None:
        """Stop the process."""
        ...

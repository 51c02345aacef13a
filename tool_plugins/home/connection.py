"""What the ways to the devices share: whether the connection stands, and the questions that wait for an answer on it."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from voice_needle.errors import ToolUnreachable


class Connection(ABC):
    """One connection, kept up in the background. All methods belong to the loop it was opened on."""

    def __init__(self) -> None:
        self.up = False
        self._changed = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Any]] = {}  # by the question's number

    @abstractmethod
    def _gone(self, why: str = "does not answer") -> ToolUnreachable:
        """What to raise when the other side is away."""

    @abstractmethod
    async def _ping(self) -> None:
        """Return when the other side has answered. Errors: ToolUnreachable."""

    async def wait_up(self, seconds: float) -> bool:
        """Whether the connection stands within `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.up:
                    self._changed.clear()
                    await self._changed.wait()
        return self.up

    async def probe(self, seconds: float = 1.0) -> None:
        """Return when the other side has answered; all it sent before has then arrived. Errors: ToolUnreachable."""
        if not self.up:
            raise self._gone()
        try:
            async with asyncio.timeout(seconds):
                await self._ping()
        except TimeoutError:
            raise self._gone() from None

    def _is_up(self) -> None:
        self.up = True
        self._changed.set()

    def _is_down(self, why: str = "does not answer") -> None:
        """No question that is open will be answered any more."""
        self.up = False
        self._changed.set()
        for number in list(self._answers):
            if (answer := self._open_question(number)) is not None:
                answer.set_exception(self._gone(why))

    @contextlib.contextmanager
    def _question(self, number: int) -> Iterator[asyncio.Future[Any]]:
        """The future that the answer to question `number` fills, for as long as somebody waits for it."""
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            yield answer
        finally:
            self._answers.pop(number, None)

    def _open_question(self, number: int) -> asyncio.Future[Any] | None:
        answer = self._answers.get(number)
        return None if answer is None or answer.done() else answer

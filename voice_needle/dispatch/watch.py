"""What is known of one attempt at a call while it runs: whether the side effect may have begun, and who hears of a late end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from voice_needle.errors import VoiceNeedleError

Late = Callable[[Any, BaseException | None], None]


class Watch:
    """Shared by the dispatcher and whatever carries out the call, in any thread."""

    def __init__(self, late: Late | None = None) -> None:
        self._lock = threading.Lock()
        self._late = late
        self.started = False
        self.unanswered: VoiceNeedleError | None = None  # what it means if the time is up now; None: the general truth
        self.given_up = False

    def begin(self) -> bool:
        """Called right before the side effect. False: it is too late, do nothing."""
        with self._lock:
            if self.given_up:
                return False
            self.started = True
            return True

    def give_up(self) -> bool:
        """No end is waited for any more. Returns whether the side effect may have begun; if not, it never will."""
        with self._lock:
            self.given_up = True
            return self.started

    def late(self, result: Any, error: BaseException | None) -> None:
        """An end came after it was given up."""
        if self._late:
            self._late(result, error)

"""The router that never acts: the baseline that shows what a refusal costs."""

from __future__ import annotations

from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.tools import Toolset


class AlwaysDecline:
    """Answers every utterance with nothing."""

    name = "always-decline"

    def prepare(self, tools: Toolset) -> None:
        """Nothing to prepare."""

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decline."""
        return Decision(confidence=1.0, reason="always declines", router=self.name)

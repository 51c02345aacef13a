"""What every router is: words and tools in, one Decision out; never an exception for bad words, never a malformed call."""

from __future__ import annotations

from typing import Protocol

from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.tools import Toolset


class Router(Protocol):
    """templates, stitch, needle, bm25, always-decline, escalate, and the cascade of some of them."""

    name: str

    def prepare(self, tools: Toolset) -> None:
        """Do what is slow once for these tools (compile patterns, encode schemas). May be called again with others."""
        ...

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide. Cheap for a toolset that was prepared; prepares by itself otherwise.

        Errors: BadToolSchema when a tool cannot be used at all; nothing else.
        """
        ...

"""The embedded learned router: reads words and tool schemas, answers with calls.

    from voice_needle.route import Stitch

    decision = Stitch(tools).route("turn on the hall light")     # tools: JSON schemas in OpenAI's function form
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.tools import Tool, Toolset


class Stitch:
    """The router alone, guarded and gated, for other programs.

    tools: JSON schemas, Tools or a Toolset. folder, cache, threads: as StitchRouter.
    Errors: ModelMissing, ModelCorrupt; ValueError for a tool without a name.
    """

    def __init__(self, tools: Iterable[Tool | Mapping[str, Any]] | Toolset = (), **options: Any) -> None:
        from voice_needle.route.registry import get_router

        self.tools = tools if isinstance(tools, Toolset) else Toolset(tools)
        self.router = get_router("stitch", **options)
        self.router.prepare(self.tools)

    def route(self, text: str, context: RouteContext | None = None) -> Decision:
        """Decide about one sentence."""
        return self.router.route(Transcript(text), self.tools, context or RouteContext(now=datetime.now().astimezone()))


__all__ = ["Stitch"]

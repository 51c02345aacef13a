"""Words to calls: the routers, by name.

    router = get_router("templates")            # or "stitch", "auto", "bm25", "always-decline", ...
    decision = router.route(Transcript("turn on the kitchen light"), tools, RouteContext(now=clock.now()))

Every router from here is guarded: whatever an engine proposes passes `guards` (negation, reported speech, ...) and `gate` (schema,
confidence, confirmation) before it is a decision. An engine is imported only when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voice_needle.route.registry import DEFAULT, ROUTERS, get_router

if TYPE_CHECKING:
    from voice_needle.route.stitch import Stitch

__all__ = ["DEFAULT", "ROUTERS", "Stitch", "get_router"]


def __getattr__(name: str) -> Any:
    """`Stitch` is imported when it is first asked for."""
    if name == "Stitch":
        from voice_needle.route.stitch import Stitch

        return Stitch
    raise AttributeError(name)

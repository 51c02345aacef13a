"""Words to calls: the routers, by name.

    router = get_router("templates")            # or "stitch", "auto", "bm25", "always-decline", ...
    decision = router.route(Transcript("turn on the kitchen light"), tools, RouteContext(now=clock.now()))

Every router from here is guarded: whatever an engine proposes passes `guards` (negation, reported speech, ...) and `gate` (schema,
confidence, confirmation) before it is a decision. An engine is imported only when it is asked for.
"""

from __future__ import annotations

from voice_needle.route.registry import DEFAULT, ROUTERS, get_router

__all__ = ["DEFAULT", "ROUTERS", "get_router"]

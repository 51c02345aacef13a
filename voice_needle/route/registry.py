"""Which routers there are, and how each is built; an engine is imported only when it is chosen."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from voice_needle.errors import ConfigError
from voice_needle.route.engine import Router


def _templates(options: Mapping[str, Any]) -> Router:
    from voice_needle.route.templates import TemplateRouter

    return TemplateRouter()


ENGINES: dict[str, Callable[[Mapping[str, Any]], Router]] = {"templates": _templates}
ROUTERS = tuple(ENGINES)
DEFAULT = "templates"


def get_router(name: str = DEFAULT, **options: Any) -> Router:
    """The router called `name`. Errors: ConfigError for a name that is not one, EngineMissing where its parts are."""
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ROUTERS, n=1)
        raise ConfigError(
            f"There is no router called {name!r}.", fix=f"use --router {near[0] if near else ' | '.join(ROUTERS)}"
        )
    return ENGINES[name](options)

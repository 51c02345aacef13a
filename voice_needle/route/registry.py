"""Which routers there are, and how each is built; an engine is imported only when it is chosen.

auto: the templates, then the embedded model where its weights are, then the configured endpoint. templates, stitch, needle: the
templates and that model alone. bm25 and always-decline: the baselines of the benchmark, without templates.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Callable
from typing import Any

from voice_needle.errors import ConfigError, EngineMissing, ModelMissing
from voice_needle.route.always_decline import AlwaysDecline
from voice_needle.route.cascade import Cascade
from voice_needle.route.engine import Router
from voice_needle.route.gate import Thresholds
from voice_needle.route.templates import TemplateRouter

MODELS = {
    "stitch": ("voice_needle.route.stitch.engine", "StitchRouter"),
    "needle": ("voice_needle.route.needle.engine", "NeedleRouter"),
}
ROUTERS = ("auto", "templates", "stitch", "needle", "bm25", "always-decline")
DEFAULT = "auto"


def get_router(
    name: str = DEFAULT, *, thresholds: Thresholds | None = None, escalate: Any = None, guarded: bool = True, **model_options: Any
) -> Router:
    """The router called `name`, guarded and gated.

    thresholds: of the gate; the model's own (its attribute `thresholds`) where none are given. escalate: an
    escalate.Endpoint, or None. guarded: False only to measure what the guards are worth. model_options: passed to the model's constructor.
    Errors: ConfigError for an unknown name, EngineMissing or ModelMissing where a model's parts are not installed.
    """
    if name == "always-decline":
        return AlwaysDecline()
    if name == "bm25":
        from voice_needle.route.bm25 import Bm25Router

        return Cascade(name, [Bm25Router(**model_options)], thresholds=thresholds, guarded=guarded)
    last_resort = _last_resort(escalate) if escalate is not None else None
    engines: list[Router] = [TemplateRouter()]
    if name in MODELS:
        engines.append(_model(name, model_options))
    elif name == "auto":
        with contextlib.suppress(EngineMissing, ModelMissing):  # the templates alone serve what the manifests spell out
            engines.append(_model("stitch", model_options))
    elif name != "templates":
        near = difflib.get_close_matches(name, ROUTERS, n=1)
        raise ConfigError(
            f"There is no router called {name!r}.", fix=f"use --router {near[0] if near else '|'.join(ROUTERS)}"
        )
    own = thresholds or getattr(engines[-1], "thresholds", None)
    return Cascade(name, engines, thresholds=own, last_resort=last_resort, guarded=guarded)


def _model(name: str, options: dict[str, Any]) -> Router:
    module, cls = MODELS[name]
    try:
        found: Callable[..., Router] = getattr(importlib.import_module(module), cls)
    except ModuleNotFoundError as problem:
        raise EngineMissing(
            f"The router {name!r} is not installed: {problem.name} is missing.",
            fix=f"pip install 'voice-needle[{name}]'",
        ) from problem
    return found(**options)


def _last_resort(endpoint: Any) -> Callable[[], Router]:
    def build() -> Router:
        from voice_needle.route.escalate import EscalateRouter

        return EscalateRouter(endpoint)

    return build

"""Several engines behind one router: the exact one first, then the model, then (only if configured) the network's.

Each engine's proposal passes guards and gate. The first that acts, asks to confirm, or is a dialogue act is the decision; a guard's
refusal is final, since no other engine makes "she said" unsaid. A question that an engine is unsure of waits for the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from voice_needle.events import Decision, Outcome, RouteContext, Transcript
from voice_needle.route import dialogue, guards
from voice_needle.route.engine import Router
from voice_needle.route.gate import Thresholds, gate
from voice_needle.tools import Toolset

EXACT = "templates"
_SURE_OF_ITS_QUESTION = 0.9


class Cascade:
    """A router made of others, in order of trust.

    last_resort: asked only where all others declined for want of confidence. guarded: False only to measure what the guards are worth.
    """

    def __init__(
        self,
        name: str,
        engines: Sequence[Router],
        *,
        thresholds: Thresholds | None = None,
        last_resort: Callable[[], Router] | None = None,
        guarded: bool = True,
    ) -> None:
        self.name = name
        self._engines = tuple(engines)
        self._thresholds = thresholds or Thresholds()
        self._make_last_resort = last_resort
        self._last_resort: Router | None = None
        self._guarded = guarded

    def prepare(self, tools: Toolset) -> None:
        """Prepare every engine. Errors: BadToolSchema."""
        for engine in self._engines:
            engine.prepare(tools)

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """The first decision that stands; else the best question; else a refusal with the last engine's reason."""
        started = time.perf_counter()
        decision = self._decide(transcript, tools, context)
        return replace(decision, elapsed_ms=(time.perf_counter() - started) * 1000, router=decision.router or self.name)

    def _decide(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        if transcript.refused or not transcript.text.strip():
            return Decision(reason=transcript.refused or "nothing said")
        spoken = dialogue.respond(transcript.text, tools, context)
        if spoken is not None:
            return gate(replace(spoken, router="dialogue"), transcript.text, tools, context, self._thresholds)
        question: Decision | None = None
        declined = Decision(reason="no engine")
        for engine in self._engines:
            decision = self._checked(engine, transcript, tools, context)
            if decision.outcome in (Outcome.ACT, Outcome.CONFIRM) or decision.act is not None:
                return decision
            if decision.reason in guards.REFUSALS:
                return decision
            if decision.outcome is Outcome.ASK:
                if decision.confidence >= _SURE_OF_ITS_QUESTION:
                    return decision
                question = question or decision
            if engine.name == EXACT and (answer := dialogue.open_answer(transcript.text, tools, context)):
                return gate(replace(answer, router="dialogue"), transcript.text, tools, context, self._thresholds)
            declined = decision if declined.complete else replace(decision, complete=False)
        if question is not None:
            return question
        late = dialogue.late_answer(transcript.text, tools, context)
        if late is not None:
            return gate(late, transcript.text, tools, context, self._thresholds)
        return self._escalated(declined, transcript, tools, context)

    def _checked(self, engine: Router, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        proposed = engine.route(transcript, tools, context)
        proposed = replace(proposed, router=proposed.router or engine.name)
        guarded = guards.check(transcript.text, proposed, tools) if self._guarded else proposed
        return gate(guarded, transcript.text, tools, context, self._thresholds)

    def _escalated(self, declined: Decision, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """The last resort's decision where one is configured, the words are complete, and they may be a request at all."""
        if self._make_last_resort is None or not declined.complete or not transcript.final:
            return declined
        if guards.refusal(transcript.text.lower().split(), list(tools.values())):
            return declined
        if self._last_resort is None:
            self._last_resort = self._make_last_resort()
        decision = self._checked(self._last_resort, transcript, tools, context)
        return declined if decision.outcome is Outcome.DECLINE else decision

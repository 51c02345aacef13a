"""What is done with words: decide, confirm, act, ask, take back. No sound in here: a transcript in, an answer out.

The order of things that protect the user: the router decides, its gate asks where it is unsure, the dispatcher's policy
asks where a tool is risky, and the ledger remembers what was really done. Nothing here goes round any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from voice_needle.clock import Clock
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.errors import VoiceNeedleError
from voice_needle.events import (
    Call,
    Decision,
    DialogueAct,
    Outcome,
    Question,
    RouteContext,
    Status,
    ToolResult,
    Transcript,
)
from voice_needle.route.engine import Router
from voice_needle.tools import Toolset
from voice_needle.turn import Memory, Turn, TurnState
from voice_needle.workers import Workers


@dataclass(frozen=True)
class Answer:
    """What is to be heard. tone: name of an earcon when there are no words; expects: a question is open."""

    text: str = ""
    tone: str = ""
    expects: bool = False


class Phraser(Protocol):
    """The part of `speak` that a conversation needs: what came of it, as sentences."""

    def results(self, results: Sequence[ToolResult], tools: Toolset) -> str: ...
    def question(self, question: Question, tools: Toolset) -> str: ...
    def confirmation(self, calls: Sequence[Call], tools: Toolset) -> str: ...
    def undone(self, result: ToolResult, tools: Toolset) -> str: ...
    def request(self, call: Call, tools: Toolset) -> str: ...


class Conversation:
    """Holds what one turn leaves to the next, and nothing more."""

    def __init__(
        self,
        *,
        router: Router,
        tools: Callable[[], Toolset],
        dispatcher: Dispatcher,
        phraser: Phraser,
        workers: Workers,
        clock: Clock,
        room: str | None = None,
        question_timeout_ms: float = 10_000,
        decline_aloud: bool = False,
    ) -> None:
        self.router, self.tools, self.dispatcher, self.phraser = router, tools, dispatcher, phraser
        self.workers, self.clock, self.room = workers, clock, room
        self.question_timeout_s = question_timeout_ms / 1000
        self.decline_aloud = decline_aloud
        self.memory = Memory()
        self._last_results: tuple[ToolResult, ...] = ()
        self._execution: asyncio.Future[Sequence[ToolResult]] | None = None

    def context(self, speaking: bool = False) -> RouteContext:
        """What the router may know now."""
        self.memory.expire(self.clock)
        return RouteContext(
            now=self.clock.now(),
            room=self.room,
            last_calls=self.memory.last_calls,
            pending=self.memory.question,
            pending_calls=self.memory.pending_calls,
            speaking=speaking,
        )

    async def decide(self, transcript: Transcript, speaking: bool = False) -> Decision:
        """The router's decision, made in the router's own thread. Partial transcripts may be asked about too."""
        if transcript.refused or not transcript.text.strip():
            return Decision(reason=transcript.refused or "silence", router="none")
        return await self.workers.run("router", self.router.route, transcript, self.tools(), self.context(speaking))

    async def respond(self, turn: Turn, transcript: Transcript, decision: Decision | None = None) -> Answer:
        """One turn from words to an answer. decision: one already made for the same words.

        Errors: StaleTurn when the turn was cancelled on the way; its side effects, if any, are in turn.results.
        """
        turn.transcript = transcript
        turn.state = TurnState.DECIDING
        started = time.perf_counter()
        turn.decision = decision or await self.decide(transcript)
        turn.ms["route"] = (time.perf_counter() - started) * 1000
        turn.scope.check()
        started = time.perf_counter()
        try:
            answer = await self._carry_out(turn, turn.decision)
        except VoiceNeedleError as error:
            answer = Answer(error.spoken, tone="error")
        turn.ms["act"] = (time.perf_counter() - started) * 1000
        turn.answer = answer.text
        if answer.text and (turn.decision is None or turn.decision.act is not DialogueAct.REPEAT):
            self.memory.last_answer = answer.text
        return answer

    # --- by outcome ---

    async def _carry_out(self, turn: Turn, decision: Decision) -> Answer:
        match decision.act:
            case DialogueAct.YES:
                return await self._yes(turn)
            case DialogueAct.NO | DialogueAct.CANCEL:
                return self._no()
            case DialogueAct.STOP | DialogueAct.BACKCHANNEL:
                return Answer()
            case DialogueAct.REPEAT:
                return Answer(self.memory.last_answer or "I have not said anything yet.")
            case DialogueAct.UNDO:
                return await self._undo(turn)
            case DialogueAct.CORRECT if decision.outcome is Outcome.ACT:
                return await self._amend(turn, decision)
        match decision.outcome:
            case Outcome.ACT:
                return await self._act(turn, decision.calls, decision.confidence)
            case Outcome.CONFIRM:
                return self._confirm(decision.calls)
            case Outcome.ASK if decision.question is not None:
                return self._ask(decision.question, decision.calls)
        return Answer("Sorry, I can't do that." if self.decline_aloud else "", tone="declined")

    def _confirm(self, calls: tuple[Call, ...]) -> Answer:
        until = self.clock.monotonic() + self.question_timeout_s
        self.memory.ask(Question(calls[0].tool, "", "unsure"), calls, until)
        return Answer(self.phraser.confirmation(calls, self.tools()), expects=True)

    def _ask(self, question: Question, calls: tuple[Call, ...]) -> Answer:
        self.memory.ask(question, calls, self.clock.monotonic() + self.question_timeout_s)
        return Answer(self.phraser.question(question, self.tools()), expects=True)

    async def _yes(self, turn: Turn) -> Answer:
        calls, question = self.memory.pending_calls, self.memory.question
        if not calls or (question is not None and question.kind != "unsure"):
            return Answer()  # a "yes" to nobody, or to "which room?": neither allows anything
        self.memory.forget_question()
        return await self._act(turn, calls, confidence=1.0, confirmed=True)

    def _no(self) -> Answer:
        asked = bool(self.memory.question or self.memory.pending_calls)
        self.memory.forget_question()
        return Answer("All right, I won't." if asked else "There is nothing to cancel.")

    async def _act(self, turn: Turn, calls: Sequence[Call], confidence: float, confirmed: bool = False) -> Answer:
        if not confirmed and self.dispatcher.to_confirm(calls, confidence):
            return self._confirm(tuple(calls))
        self.memory.forget_question()
        turn.scope.check()
        turn.state = TurnState.ACTING
        self._execution = asyncio.ensure_future(self._execute(turn, calls, confidence, confirmed))
        results = await asyncio.shield(self._execution)
        turn.scope.check()
        return self._answer(results)

    async def _execute(
        self, turn: Turn, calls: Sequence[Call], confidence: float, confirmed: bool
    ) -> Sequence[ToolResult]:
        """What was really done is remembered even when the turn is cancelled meanwhile: a correction needs to know."""
        self.memory.last_calls, self._last_results = tuple(calls), ()
        with self.workers.busy():
            results = await self.dispatcher.execute(
                calls, turn.scope, heard=self._heard(turn), confidence=confidence, confirmed=confirmed, room=self.room
            )
        turn.results += results
        done = tuple(result for result in results if result.status is not Status.CANCELLED)
        if done:
            self.memory.last_calls = tuple(result.call for result in done)
        self._last_results = done
        return results

    async def settled(self) -> None:
        """Return when nothing is being executed: what was interrupted has ended one way or the other."""
        if self._execution is not None and not self._execution.done():
            with contextlib.suppress(Exception):
                await asyncio.shield(self._execution)

    def _heard(self, turn: Turn) -> str:
        return turn.transcript.text if turn.transcript else ""

    def _answer(self, results: Sequence[ToolResult]) -> Answer:
        text = self.phraser.results(results, self.tools())
        open_result = next((r for r in results if r.values.get("ask") or r.status is Status.SEVERAL), None)
        if open_result is not None:
            parameter = str(open_result.values.get("ask") or open_result.values.get("parameter") or "")
            options = tuple(map(str, open_result.values.get("options", ())))
            arguments = {k: v for k, v in open_result.call.arguments.items() if k != parameter}
            question = Question(open_result.call.tool, parameter, "ambiguous", options=options)
            until = self.clock.monotonic() + self.question_timeout_s
            self.memory.ask(question, (replace(open_result.call, arguments=arguments),), until)
            return Answer(text, expects=True)
        return Answer(text, tone="" if all(result.ok for result in results) else "error")

    # --- taking back and changing ---

    async def _undo(self, turn: Turn) -> Answer:
        _, call = self.dispatcher.undoable()
        if call is not None and self.dispatcher.to_confirm([call], 1.0):
            return self._confirm((call,))
        turn.state = TurnState.ACTING
        result = await self.dispatcher.undo(turn.scope, heard=self._heard(turn))
        turn.results.append(result)
        if result.ok:
            self.memory.last_calls, self._last_results = (), ()
        return Answer(self.phraser.undone(result, self.tools()), tone="" if result.ok else "error")

    async def _amend(self, turn: Turn, decision: Decision) -> Answer:
        """ "No, the kitchen": take the last call back where that is possible, and do the corrected one."""
        await self.settled()
        previous = self._last_results[-1] if self._last_results else None
        only_asked = bool(self.memory.pending_calls)  # then there is nothing to take back
        if only_asked or previous is None or not previous.ok or self._overwrites(previous.call, decision.calls):
            return await self._act(turn, decision.calls, decision.confidence)
        if self.dispatcher.to_confirm(decision.calls, decision.confidence):
            return self._confirm(decision.calls)
        _, call = self.dispatcher.undoable(previous.ledger_id) if previous.ledger_id is not None else (None, None)
        if call is None:
            return self._confirm(decision.calls)
        turn.state = TurnState.ACTING
        undone = await self.dispatcher.undo(turn.scope, number=previous.ledger_id, heard=self._heard(turn))
        turn.results.append(undone)
        turn.scope.check()
        if not undone.ok:
            return Answer(self.phraser.undone(undone, self.tools()), tone="error")
        return await self._act(turn, decision.calls, decision.confidence)

    def _overwrites(self, previous: Call, calls: Sequence[Call]) -> bool:
        """Whether doing `calls` leaves nothing of `previous`: the same idempotent tool on the same thing, another number."""
        if len(calls) != 1 or calls[0].tool != previous.tool:
            return False
        tool = self.tools().get(previous.tool)
        if tool is None or not tool.policy.idempotent:
            return False
        changed = {
            name
            for name in {*previous.arguments, *calls[0].arguments}
            if previous.arguments.get(name) != calls[0].arguments.get(name)
        }
        return all(tool.properties.get(name, {}).get("type") in ("number", "integer") for name in changed)

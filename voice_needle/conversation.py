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
from voice_needle.disfluency import MENDED, mended, surer
from voice_needle.dispatch.runner import Cancelled, Dispatcher
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
from voice_needle.readings import alike, both, heard_again
from voice_needle.route.engine import Router
from voice_needle.route.guards import REFUSALS
from voice_needle.tools import Toolset
from voice_needle.turn import Memory, Turn, TurnState
from voice_needle.workers import Workers

FOLLOW_UP_S = 15.0  # after an answer began: so long its words are the ones that a correction is about
UNKNOWN = frozenset({Status.TIMEOUT, Status.UNCONFIRMED, Status.PARTIAL})


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
        self._stopped_results: tuple[ToolResult, ...] = ()
        self._execution: asyncio.Future[Sequence[ToolResult]] | None = None
        self._interrupted: Cancelled | None = None  # what the words that are being answered have stopped

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

    def awaits_reply(self) -> bool:
        """Whether what is said now may be about the last turn: a question is open, something is being done, or was just now."""
        self.memory.expire(self.clock)
        recent = self.clock.monotonic() - self.memory.answered_s <= FOLLOW_UP_S
        return recent or self.memory.question is not None or bool(self.memory.pending_calls)

    async def decide(self, transcript: Transcript, speaking: bool = False) -> Decision:
        """The router's decision, made in the router's own thread. Partial transcripts may be asked about too."""
        if transcript.refused or not transcript.text.strip():
            return Decision(reason=transcript.refused or "silence", router="none")
        context = self.context(speaking)
        every = both(transcript.text, self.memory)
        if every is not None:
            return every
        decision = await self.workers.run("router", self._route, transcript, self.tools(), context)
        if speaking and decision.act is DialogueAct.YES and self.memory.question is None:
            return replace(decision, act=DialogueAct.BACKCHANNEL)  # "yeah" to what is being told, or a door that sounds like it
        failed = bool(self._stopped_results or (self._last_results and not self._last_results[-1].ok))
        return heard_again(decision, self.memory, failed)

    def _route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """In the router's thread: the words as they are; where they are no request, as somebody who stumbles means them."""
        decision = self.router.route(transcript, tools, context)
        if decision.act is not None or decision.outcome is Outcome.ACT:
            return decision
        if decision.reason in REFUSALS or decision.reason == "answer":
            return decision

        def route(text: str, before: tuple[Call, ...]) -> Decision:
            if not text:
                return Decision()
            read = replace(transcript, text=text, words=())
            return self.router.route(read, tools, replace(context, last_calls=before or context.last_calls))

        found = mended(transcript.text, route)
        if found is None or (decision.outcome is Outcome.CONFIRM and not surer(found, decision)):
            return decision
        return replace(found, reason=f"{found.reason}, {MENDED}")

    async def respond(self, turn: Turn, transcript: Transcript, decision: Decision | None = None) -> Answer:
        """One turn from words to an answer. decision: one already made for the same words.

        Errors: StaleTurn when the turn was cancelled on the way; its side effects, if any, are in turn.results.
        """
        turn.transcript = transcript
        turn.state = TurnState.DECIDING
        if decision is None:
            started = time.perf_counter()
            decision = await self.decide(transcript)
            turn.ms["route"] = (time.perf_counter() - started) * 1000
        turn.decision = decision
        turn.scope.check()
        started = time.perf_counter()
        try:
            answer = await self._carry_out(turn, decision)
        except VoiceNeedleError as error:
            answer = Answer(error.spoken, tone="error")
        turn.ms["act"] = (time.perf_counter() - started) * 1000
        turn.answer = answer.text
        self.memory.answered_s = self.clock.monotonic()
        if answer.text and decision.act is not DialogueAct.REPEAT:
            self.memory.last_answer = answer.text
        return answer

    # --- by outcome ---

    async def _carry_out(self, turn: Turn, decision: Decision) -> Answer:
        match decision.act:
            case DialogueAct.YES:
                return await self._yes(turn)
            case DialogueAct.NO | DialogueAct.CANCEL:
                return await self._no()
            case DialogueAct.STOP:
                return self._stop()
            case DialogueAct.BACKCHANNEL:
                return Answer()
            case DialogueAct.REPEAT:
                return Answer(self.memory.last_answer or "I have not said anything yet.")
            case DialogueAct.UNDO:
                return await self._undo(turn)
            case DialogueAct.CORRECT if decision.outcome is Outcome.ACT:
                return await self._amend(turn, decision)
        match decision.outcome:
            case Outcome.ACT if self.memory.amending and decision.reason == "answer":
                return await self._amend(turn, decision)
            case Outcome.ACT:
                return await self._act(turn, decision.calls, decision.confidence)
            case Outcome.CONFIRM:
                return self._confirm(decision.calls)
            case Outcome.ASK if decision.question is not None:
                return self._ask(decision.question, decision.calls)
        return Answer("Sorry, I can't do that." if self.decline_aloud else "", tone="error")

    def _confirm(self, calls: tuple[Call, ...], *, beside: bool = False) -> Answer:
        """beside: what they correct is done and stays, so that only a yes may add them to it."""
        until = self.clock.monotonic() + self.question_timeout_s
        self.memory.ask(Question(calls[0].tool, "", "unsure"), calls, until)
        self.memory.beside = beside
        return Answer(self.phraser.confirmation(calls, self.tools()), expects=True)

    def _ask(self, question: Question, calls: tuple[Call, ...]) -> Answer:
        amending = question.kind == "same" and not self.memory.only_asked
        self.memory.ask(question, calls, self.clock.monotonic() + self.question_timeout_s)
        self.memory.amending = amending
        return Answer(self.phraser.question(question, self.tools()), expects=True)

    async def _yes(self, turn: Turn) -> Answer:
        calls, question, memory = self.memory.pending_calls, self.memory.question, self.memory
        if memory.stopping:
            stopped = [call for call in memory.stopping if self.dispatcher.stop(call)]
            memory.forget_question()
            await self.settled()
            return Answer("I stopped it." if stopped else "It had already ended.")
        if memory.undoing is not None:
            number = memory.undoing
            memory.forget_question()
            return await self._take_back(turn, number)
        if not calls or (question is not None and question.kind != "unsure"):
            return Answer()  # a "yes" to nobody, or to "which room?": neither allows anything
        memory.forget_question()
        return await self._act(turn, calls, confidence=1.0, confirmed=True)

    def _stop(self) -> Answer:
        """Silence is the answer to "stop"; only a call that still runs and may be stopped is asked about."""
        cancelled, self._interrupted = self._interrupted, None
        if cancelled is not None and cancelled.asking:
            return self._ask_to_stop(cancelled.asking)
        self.memory.forget_question()
        return Answer()

    async def _no(self) -> Answer:
        """A no to the open question; else "cancel" ends what was interrupted, or offers to take back what is done."""
        cancelled, self._interrupted = self._interrupted, None
        if cancelled is not None and cancelled.asking:
            return self._ask_to_stop(cancelled.asking)
        if self.memory.question or self.memory.pending_calls:
            running = bool(self.memory.stopping)
            self.memory.forget_question()
            return Answer("All right, it goes on." if running else "All right, I won't.")
        if cancelled is not None and (cancelled.stopped or cancelled.finishing):
            await self.settled()
            if not any(result.ok for result in self._last_results):
                unsure = next((r for r in self._stopped_results if r.values.get("may_have_happened")), None)
                return Answer(unsure.error if unsure is not None else "All right, I stopped that.")
        entry, call = self.dispatcher.undoable()
        done = [result for result in self._last_results if result.ok and result.ledger_id is not None]
        if call is None or entry is None or not done or entry.id != done[-1].ledger_id:
            return Answer("It is done already, and I cannot take it back." if done else "There is nothing to cancel.")
        self.memory.ask(Question(call.tool, "", "unsure"), (), self.clock.monotonic() + self.question_timeout_s)
        self.memory.undoing = entry.id
        return Answer("It is done already. Shall I take it back?", expects=True)

    def _ask_to_stop(self, calls: tuple[Call, ...]) -> Answer:
        self.memory.ask(Question(calls[0].tool, "", "unsure"), (), self.clock.monotonic() + self.question_timeout_s)
        self.memory.stopping = calls
        return Answer("It is still running. Shall I stop it?", expects=True)

    def interrupted(self, cancelled: Cancelled) -> None:
        """What the coming words have stopped, so that the answer to them can tell."""
        self._interrupted = cancelled

    async def _act(self, turn: Turn, calls: Sequence[Call], confidence: float, confirmed: bool = False) -> Answer:
        if not confirmed and self.dispatcher.to_confirm(calls, confidence):
            return self._confirm(tuple(calls))
        self.memory.forget_question()
        turn.scope.check()
        if turn.decision is None or turn.decision.act is not DialogueAct.CORRECT:
            self.memory.replaced = None
        self.memory.last_calls, self._last_results, self._stopped_results = (
            tuple(calls),
            (),
            (),
        )  # before another is heard
        self._acting(turn)
        self._execution = asyncio.ensure_future(self._execute(turn, calls, confidence, confirmed))
        results = await asyncio.shield(self._execution)
        turn.scope.check()
        return self._answer(results)

    async def _execute(
        self, turn: Turn, calls: Sequence[Call], confidence: float, confirmed: bool
    ) -> Sequence[ToolResult]:
        """What was really done is remembered even when the turn is cancelled meanwhile: a correction needs to know."""
        with self.workers.busy():
            results = await self.dispatcher.execute(
                calls, turn.scope, heard=self._heard(turn), confidence=confidence, confirmed=confirmed, room=self.room
            )
        turn.results += results
        done = tuple(result for result in results if result.status is not Status.CANCELLED)
        self._stopped_results = tuple(result for result in results if result.status is Status.CANCELLED)
        if done:
            self.memory.last_calls = tuple(result.call for result in done)
        self._last_results = done
        return results

    async def settled(self) -> None:
        """Return when nothing is being executed: what was interrupted has ended one way or the other."""
        if self._execution is not None and not self._execution.done():
            with contextlib.suppress(Exception):
                await asyncio.shield(self._execution)

    def _acting(self, turn: Turn) -> None:
        turn.state = TurnState.ACTING
        self.memory.answered_s = self.clock.monotonic()
        turn.begun.set()

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
        return await self._take_back(turn, None)

    async def _take_back(self, turn: Turn, number: int | None) -> Answer:
        """The last call, or the one with this ledger number. A yes was said where one is needed."""
        result = await self._undone(turn, number, confirmed=number is not None)
        return Answer(self.phraser.undone(result, self.tools()), tone="" if result.ok else "error")

    async def _undone(self, turn: Turn, number: int | None, *, confirmed: bool) -> ToolResult:
        """Taken back, and remembered so even when the turn is cancelled meanwhile: the next correction must know."""
        self._acting(turn)

        async def undo() -> Sequence[ToolResult]:
            with self.workers.busy():
                result = await self.dispatcher.undo(
                    turn.scope, number=number, confirmed=confirmed, heard=self._heard(turn)
                )
            turn.results.append(result)
            if result.ok:
                self._last_results = ()
                if turn.decision is None or turn.decision.act is not DialogueAct.CORRECT:
                    self.memory.last_calls = ()
            return [result]

        self._execution = asyncio.ensure_future(undo())
        return (await asyncio.shield(self._execution))[0]

    async def _amend(self, turn: Turn, decision: Decision) -> Answer:
        """ "No, the kitchen": take the last call back where that is possible, and do the corrected one."""
        self._acting(turn)  # from here on, another correction takes this one's place
        await self.settled()
        turn.scope.check()
        corrected = {call.tool for call in decision.calls}
        done = [result for result in self._last_results if result.call.tool in corrected]
        previous = done[-1] if done else None
        if self.memory.amending and previous is not None and previous.ok and alike(decision.calls, (previous.call,)):
            self.memory.forget_question()
            return Answer("Then I leave it as it is.")
        self.memory.replaced = previous.call if previous is not None and previous.ok else None
        if self.memory.beside or self._left_open(decision.calls):
            return self._confirm(decision.calls, beside=True)  # the first may have happened, too
        if self.memory.only_asked or previous is None or not previous.ok or self._overwrites(previous.call, decision.calls):
            return await self._act(turn, decision.calls, decision.confidence)
        if self.dispatcher.to_confirm(decision.calls, decision.confidence):
            return self._confirm(decision.calls, beside=True)
        _, call = self.dispatcher.undoable(previous.ledger_id) if previous.ledger_id is not None else (None, None)
        if call is None:
            return self._confirm(decision.calls, beside=True)
        undone = await self._undone(turn, previous.ledger_id, confirmed=False)
        turn.scope.check()
        if not undone.ok:
            return Answer(self.phraser.undone(undone, self.tools()), tone="error")
        return await self._act(turn, decision.calls, decision.confidence)

    def _left_open(self, calls: Sequence[Call]) -> bool:
        """Whether the call to be corrected may have happened without our knowing, and would then stay beside `calls`."""
        last = (*self._last_results, *self._stopped_results)[-1:]
        if not last or self.memory.only_asked:
            return False
        open_end = last[0].status in UNKNOWN or bool(last[0].values.get("may_have_happened"))
        return open_end and not self._overwrites(last[0].call, calls)

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

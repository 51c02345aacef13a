"""One sound, several readings: which of what the recogniser may have heard is meant.

The recogniser's first reading stands wherever it is a request, or one of the things that are refused for good reason. Only where
it means nothing, another reading of the same sound may.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from voice_needle.events import Decision, DialogueAct, Outcome, Transcript
from voice_needle.route.guards import REFUSALS
from voice_needle.turn import Memory

_BOTH = re.compile(
    r"(?:(?:no|yes|oh|sorry|actually) )*(?:i (?:want|meant|said) )?(?:both(?: of them)?|all(?: of them)?)(?: please)?"
)
Decide = Callable[[Transcript], Awaitable[Decision]]
_OBJECTING = frozenset(["no", "nope", "sorry", "wait", "actually", "oops", "i"])


async def second_reading(
    transcript: Transcript, decision: Decision, partial: str, decide: Decide
) -> tuple[Transcript, Decision]:
    """What was said over our voice, read again in the light of that: people stop and correct us much more than chance has it.

    A "stop" that the recogniser was not sure of counts when the partial words said so, too. Words that object ("no ...") without
    being a correction are one when another reading of them is. partial: the last words before the final ones.
    """
    others = [text for text in (partial, *transcript.alternatives) if text and text != transcript.text]
    if transcript.refused:
        if not transcript.text or not partial:
            return transcript, decision
        clear = replace(transcript, refused="")
        acts = [(await decide(each)).act for each in (clear, Transcript(partial))]
        if acts[0] in (DialogueAct.STOP, DialogueAct.CANCEL) and acts[1] in (DialogueAct.STOP, DialogueAct.CANCEL):
            return clear, await decide(clear)
        return transcript, decision
    if decision.act is None and transcript.text.split(" ", 1)[0] in _OBJECTING:
        for text in others:
            again = await decide(replace(transcript, text=text, words=()))
            if again.act is DialogueAct.CORRECT and again.outcome is Outcome.ACT:
                return replace(transcript, text=text, words=()), again
    return transcript, decision


async def other_reading(transcript: Transcript, decision: Decision, decide: Decide) -> tuple[Transcript, Decision]:
    """Another of the recogniser's readings where the first is no request at all, or a doubtful one that the other makes certain."""
    settled = decision.act is not None or decision.outcome is Outcome.ACT or decision.reason in REFUSALS
    if settled or transcript.refused or decision.reason == "answer":
        return transcript, decision
    for text in transcript.alternatives:
        read = replace(transcript, text=text, words=())
        again = await decide(read)
        certain = again.outcome is Outcome.ACT and bool(again.calls)
        if certain and (decision.outcome is Outcome.DECLINE or _same(decision, again)):
            return read, again
    return transcript, decision


def _same(doubtful: Decision, certain: Decision) -> bool:
    """Whether the certain decision is the doubtful one: nothing else is done than what would have been asked about."""
    pairs = zip(doubtful.calls, certain.calls, strict=False)
    return len(doubtful.calls) == len(certain.calls) and all(
        a.tool == b.tool and all(b.arguments.get(name) == value for name, value in a.arguments.items())
        for a, b in pairs
    )


def both(text: str, memory: Memory) -> Decision | None:
    """ "Both": every option of the open question, or, after a correction, also what was corrected."""
    if not _BOTH.fullmatch(" ".join(re.findall(r"[a-z']+", text.lower()))):
        return None
    question, calls = memory.question, memory.pending_calls
    if question is not None and question.parameter and len(question.options) >= 2 and calls:
        base, name = calls[-1], question.parameter
        every = tuple(
            replace(base, arguments={**base.arguments, name: value}, evidence={}) for value in question.options
        )
        return Decision(every, Outcome.ACT, 1.0, reason="both", router="dialogue")
    if memory.replaced is not None and question is None:
        return Decision((memory.replaced,), Outcome.ACT, 1.0, reason="both", router="dialogue")
    return None

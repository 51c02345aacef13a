"""Utterances that belong to the conversation: yes and no, stop and undo, answers to a question, corrections, "and the bedroom too".

`respond` knows the short phrases by heart; a correction or an answer is read through the schema of the call that it belongs to, so
that "no, the kitchen" finds the parameter that a kitchen can be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from voice_needle.events import Call, Decision, DialogueAct, Outcome, Question, RouteContext
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.fill import ask_for, complete_call
from voice_needle.route.names import plain
from voice_needle.route.numbers import tokenize
from voice_needle.route.phrases import strip_polite, without_fillers
from voice_needle.route.schemas import is_open
from voice_needle.route.values import parse_value
from voice_needle.tools import Tool

CONFIDENCE = 0.99
_PHRASES: dict[DialogueAct, str] = {
    DialogueAct.YES: "yes|yes please|yeah|yep|yup|sure|sure thing|of course|certainly|absolutely|definitely|go ahead|yes go ahead|"
    "do it|yes do it|please do|do that|go for it|that's right|that's correct|correct|exactly|that's it|confirm|confirmed|i confirm|"
    "affirmative|yes that's right|i'm sure|yes i'm sure|sounds good|that's fine|indeed|by all means|make it so|proceed|yes exactly|"
    "yes of course|that's the one|yes yes|please go ahead|why not",
    DialogueAct.NO: "no|no thanks|no thank you|nope|nah|no way|don't|no don't|don't do that|don't do it|please don't|not that|not that one|"
    "that's wrong|that's not right|that's not what i meant|wrong|incorrect|negative|certainly not|absolutely not|definitely not|"
    "of course not|no not that|no that's wrong|i don't think so|i didn't say that|not now|not really|not at all|better not|"
    "i'd rather not|no no|no no no|no leave it|neither|none of them|no don't do that|i said no",
    DialogueAct.CANCEL: "cancel|cancel that|cancel it|never mind|nevermind|never mind that|forget it|forget that|forget about it|"
    "scrap that|scratch that|drop it|drop that|leave it|leave that|let it go|let's not|abort|abort that|i changed my mind|"
    "i've changed my mind|changed my mind|don't bother|skip it|skip that|dismiss|dismiss that|disregard that|ignore that|"
    "call it off|that won't be necessary|it doesn't matter|no forget it|actually never mind|actually cancel that|oh forget it",
    DialogueAct.STOP: "stop|stop stop|stop stop stop|stop now|stop it|stop that|stop right now|stop talking|stop speaking|quiet|be quiet|"
    "silence|hush|shush|shut up|enough|that's enough|enough already|halt|hold it|whoa stop|wait stop|freeze|no more|that will do|"
    "that'll do|you can stop now|you can stop|stop reading|stop everything|stop immediately|stop there|hey stop|oh stop|be silent",
    DialogueAct.REPEAT: "repeat|repeat that|say that again|say it again|say again|could you say that again|can you repeat that|"
    "could you repeat that|come again|pardon|pardon me|i beg your pardon|sorry what|what|what was that|what did you say|"
    "what did you just say|excuse me what|once more|one more time|tell me again|read that again|i didn't catch that|"
    "i didn't hear you|i didn't get that|i missed that|repeat your answer|repeat what you said|huh|again please",
    DialogueAct.UNDO: "undo|undo that|undo it|undo the last one|undo the last thing|undo the last command|undo what you did|"
    "undo what you just did|take that back|take it back|put it back|put it back how it was|put that back|reverse that|revert|"
    "revert that|revert the change|roll back|roll that back|change it back|change that back|switch it back|turn it back|set it back|"
    "back to how it was|restore it|oops undo that|no undo that|reverse it|can you undo that|go back to how it was",
    DialogueAct.BACKCHANNEL: "uh huh|mhm|mm hmm|mm|hmm|aha|ah|ah okay|oh|oh i see|i see|right|right right|okay|ok|okay okay|alright|"
    "all right|got it|gotcha|understood|makes sense|oh really|really|is that so|interesting|fair enough|good|great|nice|cool|lovely|"
    "wonderful|excellent|brilliant|fantastic|perfect|well done|thanks|thank you|thank you very much|cheers|many thanks|good job|"
    "great thanks|okay thanks|wow|no problem|no worries|good to know|sure sure|oh good|oh okay|yes thank you",
}  # fmt: skip
_ACTS = {" ".join(tokenize(p)): act for act, phrases in _PHRASES.items() for p in phrases.split("|")}
_YES_WHEN_ASKED = frozenset(
    ["okay", "ok", "alright", "all right", "right", "good", "great", "perfect", "fine", "okay okay", "uh huh"]
)

_MARKED = re.compile(
    r"^(?:(?:oh |oops |um )*(?:no |nope |sorry |wait |hang on |hold on |oops )*)"
    r"(?:(?P<strong>i (?:said|meant|mean|wanted)|make (?:that|it)|change (?:that|it) to|it should (?:be|have been)|"
    r"that should be|let 's (?:say|make it)|correction)|(?P<weak>actually|rather|or rather|better|use|try|it 's|the other one))? ?"
    r"(?:make (?:that|it) )?(?P<value>.+)$"
)
_CONTRASTS = (
    re.compile(r"^(?:no )?not (?P<wrong>.+?) but (?P<value>.+)$"),
    re.compile(r"^(?:no )?instead of (?P<wrong>.+?) use (?P<value>.+)$"),
    re.compile(r"^(?:no |i said |i meant |i wanted |it 's )*(?P<value>.+?) (?:and )?not (?P<wrong>.+)$"),
    re.compile(r"^(?:no )?not (?P<wrong>the .+?) (?P<value>the .+)$"),
)
_TAIL = re.compile(r"(?: instead| i (?:mean|meant|said)| please| then| actually)+$")
_RESTATING = re.compile(r"(?: instead| i (?:mean|meant|said))(?: please)?$")
_HEAD = re.compile(r"^(?:the |in the |in |to the |to |at |for |on |with |from )")
_AGAIN = re.compile(
    r"^(?:and |then |and then )?(?:turn|switch|set|put|make|bring) (?:it|that|them|those) (?:back |to )*(?P<c>.+)$"
)
_MORE = re.compile(
    r"^(?:and |also |and also |plus )(?P<a>.+?)(?: too| as well| also)?$|^(?P<b>.+?) (?:too|as well|also)$"
)
_CORRECTING = (
    "no ",
    "nope ",
    "sorry ",
    "wait ",
    "hang on ",
    "hold on ",
    "oops ",
    "oh ",
    "actually ",
    "rather ",
    "or rather ",
    "better ",
)


def respond(text: str, tools: Mapping[str, Tool], context: RouteContext) -> Decision | None:
    """The decision for an utterance that belongs to the conversation; None for one that is (or may be) a request of its own."""
    words = without_fillers(tokenize(text))
    whole = " ".join(tokenize(text))
    act = _ACTS.get(whole) or _ACTS.get(" ".join(words)) or _ACTS.get(" ".join(strip_polite(words)))
    waiting = context.pending is not None or bool(context.pending_calls)
    if waiting and (whole in _YES_WHEN_ASKED or " ".join(words) in _YES_WHEN_ASKED):
        act = DialogueAct.YES
    answering_yes_no = act in (DialogueAct.YES, DialogueAct.NO) and _takes_yes_or_no(tools, context)
    if act is not None and not answering_yes_no:
        return Decision(outcome=Outcome.DECLINE, confidence=CONFIDENCE, act=act, reason="dialogue")
    if not words:
        return None
    said = " ".join(words)
    return _answer(said, tools, context) or _correction(said, tools, context) or _more(said, tools, context)


def open_answer(text: str, tools: Mapping[str, Tool], context: RouteContext) -> Decision | None:
    """The answer to a question whose answer may be any words; asked after the templates, so that a new request is one."""
    question = context.pending
    if question is None or not _asks_openly(question, tools):
        return None
    return _answer(" ".join(without_fillers(tokenize(text))), tools, context, openly=True)


def late_answer(text: str, tools: Mapping[str, Tool], context: RouteContext) -> Decision | None:
    """A short answer that is no value of what was asked for: the question again, with the words in question."""
    question = context.pending
    words = strip_polite(without_fillers(tokenize(text)))
    if question is None or question.tool not in tools or not question.parameter or not 0 < len(words) <= 4:
        return None
    found = parse_value(" ".join(words), tools[question.tool].properties.get(question.parameter, {}), context)
    if isinstance(found, Parsed):
        return None
    again = replace(question, kind=found.kind, detail=" ".join(words), options=found.options or question.options)
    return Decision(context.pending_calls, Outcome.ASK, CONFIDENCE, again, reason="answer", router="dialogue")


def _asks_openly(question: Question, tools: Mapping[str, Tool]) -> bool:
    schema = tools[question.tool].properties.get(question.parameter) if question.tool in tools else None
    return schema is not None and is_open(schema)


def _takes_yes_or_no(tools: Mapping[str, Tool], context: RouteContext) -> bool:
    question = context.pending
    if question is None or question.tool not in tools or not question.parameter:
        return False
    return tools[question.tool].properties.get(question.parameter, {}).get("type") == "boolean"


# --- answers ---------------------------------------------------------------------------------------------------------


def _answer(said: str, tools: Mapping[str, Tool], context: RouteContext, *, openly: bool = False) -> Decision | None:
    question = context.pending
    if question is None or question.tool not in tools or openly != _asks_openly(question, tools):
        return None
    if not question.parameter:
        return _which_tool(said, question, context)
    tool = tools[question.tool]
    schema = tool.properties.get(question.parameter)
    if schema is None:
        return None
    found = _read_answer(said, question, tool, context)
    if found is None:
        return None
    calls = list(context.pending_calls)
    at = next((i for i, c in enumerate(calls) if c.tool == tool.name and question.parameter not in c.arguments), None)
    base = calls[at] if at is not None else Call(tool.name)
    if isinstance(found, Problem):
        return Decision(
            tuple(calls), Outcome.ASK, CONFIDENCE, ask_for(tool, question.parameter, found), reason="answer"
        )
    evidence = {
        name: base.evidence.get(name) if base.evidence.get(name) == "default" else "context" for name in base.arguments
    }
    arguments = {**base.arguments, question.parameter: found.value}
    call, missing = complete_call(
        tool,
        arguments,
        {**{k: v or "context" for k, v in evidence.items()}, question.parameter: found.evidence},
        context,
    )
    done = [_carried(c) for c in calls]
    if at is None:
        done.append(call)
    else:
        done[at] = call
    still = missing or _first_missing(done, tools, context)
    outcome = Outcome.ASK if still else Outcome.ACT
    return Decision(tuple(done), outcome, CONFIDENCE, still, reason="answer")


def _carried(call: Call) -> Call:
    return replace(
        call, evidence={n: "default" if call.evidence.get(n) == "default" else "context" for n in call.arguments}
    )


def _first_missing(calls: Sequence[Call], tools: Mapping[str, Tool], context: RouteContext) -> Question | None:
    for call in calls:
        if call.tool in tools:
            missing = complete_call(tools[call.tool], call.arguments, call.evidence, context)[1]
            if missing:
                return missing
    return None


def _read_answer(said: str, question: Question, tool: Tool, context: RouteContext) -> Parsed | Problem | None:
    schema = tool.properties[question.parameter]
    bare = _TAIL.sub("", " ".join(strip_polite(tuple(said.split()))) or said)
    if is_open(schema):
        return parse_value(bare, schema, context)
    first: Problem | None = None
    for text in dict.fromkeys(
        (bare, *_own_words_dropped(tool, bare), f"{question.detail} {bare}", f"{bare} {question.detail}")
    ):
        found = parse_value(text, schema, context)
        if isinstance(found, Parsed):
            return found
        if found.kind in ("out_of_range", "ambiguous"):
            first = first or found
    return first if first and len(bare.split()) <= 4 else None


def _which_tool(said: str, question: Question, context: RouteContext) -> Decision | None:
    named = [c for c in context.pending_calls if plain(c.tool.replace("_", " ").replace(".", " ")) == plain(said)]
    return Decision((_carried(named[0]),), Outcome.ACT, CONFIDENCE, reason="answer") if len(named) == 1 else None


# --- corrections -----------------------------------------------------------------------------------------------------


def _correction(said: str, tools: Mapping[str, Tool], context: RouteContext) -> Decision | None:
    """ "no the kitchen", "make that twelve", "not thirty but twenty": the last call with one argument changed."""
    last = (*context.last_calls, *context.pending_calls)[-1:]
    if not last or last[0].tool not in tools:
        return None
    text = _TAIL.sub("", said)
    wrong, strong = "", bool(_RESTATING.search(said))
    for pattern in _CONTRASTS:
        match = pattern.match(text)
        if match:
            wrong, value, strong = match["wrong"], match["value"], True
            break
    else:
        match = _MARKED.match(text)
        if match is None:
            return None
        value = match["value"]
        strong = strong or bool(match["strong"])
        if not (strong or match["weak"] or text.startswith(_CORRECTING)):
            return None
    return _amended(last[0], tools[last[0].tool], value, wrong, context, strong=strong, act=DialogueAct.CORRECT)


def _more(said: str, tools: Mapping[str, Tool], context: RouteContext) -> Decision | None:
    """ "and the bedroom too": the last call once more, with one argument changed."""
    match = _AGAIN.match(said) or _MORE.match(said)
    last = context.last_calls[-1:]
    if match is None or not last or last[0].tool not in tools:
        return None
    return _amended(
        last[0], tools[last[0].tool], next(g for g in match.groups() if g), "", context, strong=False, act=None
    )


def _amended(
    last: Call, tool: Tool, value: str, wrong: str, context: RouteContext, *, strong: bool, act: DialogueAct | None
) -> Decision | None:
    reason = "correction" if act else "same again"
    found = _places(tool, last, value, context)
    if wrong:
        named = {n for n, p in _places(tool, last, wrong, context).items() if _is(p, last.arguments.get(n))}
        found = {n: p for n, p in found.items() if n in named} or found
    typed = {n: p for n, p in found.items() if not is_open(tool.properties[n])}
    if not typed and not strong:
        return None
    chosen = typed or {n: p for n, p in found.items() if n in last.arguments}
    fits = {n: p for n, p in chosen.items() if isinstance(p, Parsed)}
    held = {n: p for n, p in fits.items() if n in last.arguments}
    fits = held or fits
    if len(fits) > 1:
        question = Question(tool.name, "", "ambiguous", value, tuple(fits))
        return Decision((), Outcome.ASK, CONFIDENCE, question, act, reason=reason)
    if not fits:
        asked = [(n, p) for n, p in chosen.items() if isinstance(p, Problem) and n in last.arguments]
        if len(asked) != 1:
            return None
        problem = asked[0][1]
        assert isinstance(problem, Problem)
        return Decision((), Outcome.ASK, CONFIDENCE, ask_for(tool, asked[0][0], problem), act, reason=reason)
    (name, parsed), *_ = fits.items()
    assert isinstance(parsed, Parsed)
    evidence = {**dict.fromkeys(last.arguments, "context"), name: parsed.evidence}
    call = Call(last.tool, {**last.arguments, name: parsed.value}, evidence)
    return Decision((call,), Outcome.ACT, CONFIDENCE, act=act, reason=reason)


def _is(parsed: Parsed | Problem, value: object) -> bool:
    return isinstance(parsed, Parsed) and parsed.value == value


def _places(tool: Tool, last: Call, value: str, context: RouteContext) -> dict[str, Parsed | Problem]:
    """The parameters that `value` can be, with what it is there; trailing words of the tool's own ("... light") are dropped."""
    texts = _own_words_dropped(tool, value)
    found: dict[str, Parsed | Problem] = {}
    for name, schema in tool.properties.items():
        for text in texts:
            parsed = parse_value(text, schema, context)
            if isinstance(parsed, Parsed) or parsed.kind in ("out_of_range", "ambiguous"):
                found[name] = parsed
                break
    return found


def _own_words_dropped(tool: Tool, value: str) -> list[str]:
    """`value` without a preposition, then also without trailing words that the tool itself is described with ("... light")."""
    own = {plain(w).rstrip("s") for w in tokenize(f"{tool.name.replace('_', ' ')} {tool.description}")}
    words = _HEAD.sub("", value).split()
    texts = [" ".join(words)]
    while len(words) > 1 and words[-1].rstrip("s") in own:
        words = words[:-1]
        texts.append(" ".join(words))
    return texts

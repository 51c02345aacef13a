"""What must not be acted on, though it holds a request's words: negation, reported speech, hypotheticals, conditions, questions.

`check(text, decision, tools)` lets a decision pass, or declines it and says why. Judged are the words around the request: an open
value ("remind me to tell bob not to come") may hold anything, unless the sentence begins with it. Politeness is put aside first,
so that "could you", "would you mind" and "if you don't mind" are neither questions nor conditions; "no wait" and "not thirty but
twenty" are corrections, not refusals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from voice_needle.events import Call, Decision, Outcome
from voice_needle.route.numbers import tokenize, words_in
from voice_needle.route.phrases import strip_polite, without_fillers
from voice_needle.route.schemas import is_open
from voice_needle.route.whole_phrase import wanted
from voice_needle.tools import Risk, Tool, spoken_forms

FROM_DIALOGUE = (
    "correction",
    "same again",
    "answer",
)  # reasons of decisions whose words are not a sentence of their own
FROM_TEMPLATE = "template"
REFUSALS = ("negated", "hypothetical", "reported", "conditional", "past", "question", "statement")

_SUBJECT = r"(?:i|we|he|she|they|it|you|there|that|this|these|those|somebody|someone|everybody|everyone|nobody|anybody)"
_SAYING = (
    r"(?:said|says|saying|told|tells|telling|asked|asks|wrote|writes|goes(?! (?:off|on|up|down|out|in|to|by|at|with)\b)|shouted|shouts|shouting|yelled|whispered|wanted me|"
    r"wanted us|wants me to|wants us to|reminded|promised|offered|suggested|insisted|begged|ordered (?:me|us|him|her)|claims|claimed)"
)
_NEGATION = re.compile(
    r"\b(?:don't|dont|do not|didn't|did not|doesn't|does not|won't|will not|mustn't|must not|shouldn't|should not|needn't|"
    r"need not|wouldn't|can't|cannot|couldn't|haven't|hasn't|isn't|wasn't|never|no need|"
    r"under no circumstances|by no means|in no case|no longer|nobody (?:wants|needs|asked|told)|refuse to|stop yourself)\b"
    r"|\bnot to\b|^not\b|\b(?:better|'s|am|are|i'm|you're|we're|rather|please|just|must|should|may|might|can|could) not\b"
    r"|\btoo (?:early|late|soon) to\b"
)
_REMINDS = re.compile(
    r"\b(?:don't|do not|never) forget to\b|\bwhy (?:don't|not)(?: you| we)?\b|^(?:won't|can't|couldn't|wouldn't) you\b"
)
_REPORTED = re.compile(
    rf"^(?!i said\b)(?:[^ ]+ ){{1,7}}?{_SAYING}\b|^(?:according to|apparently|supposedly|the instructions|in the (?:film|movie|book|song))\b"
    rf"|^i (?:told|asked|heard|saw|read|overheard) (?!you\b)|^i said to\b|\bused to say\b|\b(?:was|were|kept|keeps|is|are|'s) (?:always |still )?(?:saying|shouting|telling)\b"
)
_HYPOTHETICAL = re.compile(
    r"^(?:what (?:if|would|happens|might)\b|imagine\b|suppose\b|supposing\b|assuming\b|it would be\b|it 'd be\b|would it\b|could it\b|"
    r"i wonder\b|i was wondering\b|one day\b|some day\b|someday\b|in theory\b|theoretically\b|let 's say\b|say somebody\b|"
    r"(?:maybe|perhaps|probably) (?:we|i|you|he|she|they|tomorrow|one)\b|(?:i|we|you|he|she|they) (?:might|could|may|would|'d)\b(?! (?:like|love|prefer|rather have)\b)|"
    r"i'm thinking\b|i was thinking\b|i'm considering\b|i wish(?! to\b)|if i were\b|if only\b|how would it\b|would you .* if you were\b)"
)
_CONDITION = re.compile(
    r"\b(?:if|unless|whenever|as soon as|every time|each time|in case|provided (?:that|nobody|no one|you|i|the|it|we|he|she|they|there)|providing|the moment|the next time|next time|"
    r"as long as|only when|on condition)\b"
    r"|\b(?:when|once|after|before|until|till) (?:the|my|our|his|her|their|your|i|i'm|you|you're|he|he's|she|she's|it|it's|we|"
    r"they|they're|somebody|someone|everybody|everyone|nobody|anybody|anyone|there|that|this|all)\b"
    r"|^(?:when|once|after|before|until) (?!(?:is|are|was|were|will|do|does|did|should|can|could|would|has|have|am|shall|'s)\b)[^ ]+ (?:[^ ]+ )"
    r"|^should (?:the|my|it|anyone|anybody|there)\b|^while\b"  # "pause while I take this call" is a request
)
_COURTESY = re.compile(
    r"\b(?:tell|let|show|ask|check|see|know|find out|verify|determine)(?: me| us)?(?: know)? (?:if|whether)\b|"
    r"\bif (?:you don't mind|you would(?: be so kind)?|you could|you can|you please|possible|you like|you 'd be so kind)\b"
    r"|\bwhen (?:you have|you get|you've got|you can|you are ready|you're ready)(?: a (?:second|minute|moment|chance|sec))?\b"
    r"|^never mind(?: that)?\b|\b(?:while|when) (?:you're|you are) (?:at it|there)\b|\bwhen that 's done\b|\bafter that\b|\bbefore i forget\b|\bonce more\b"
)
_PAST = re.compile(
    r"^(?:(?:yesterday|earlier(?: today)?|last \w+|on \w+|this morning|thanks|in the end) )?"
    r"(?:i|we|he|she|they|you|it|somebody|someone|nobody|everybody) (?:already |just |almost |nearly |finally |never |always |once )*"
    r"(?:forgot|meant to|was|were|used to|had to|tried|wanted to|wanted|remembered|managed|decided|helped|watched|failed|bothered|got|"
    r"did|took|made|went|saw|turned|switched|asked|left|should have|could have|would have|had)\b|^back then\b"
    r"|^\w+ (?:already |always |never )?(?:had to|used to|managed to|decided to|bothered to|forgot to|tried to|was supposed)\b"
)
_QUESTION = re.compile(
    r"^(?:did|do (?:i|you|we|they|people|the|my|all|any)|does|have (?:i|you|we|they|the|my)|has|had|is|are|am|was|were|should|shall|why|when|how|who|whose|what|where|which|isn't|aren't|doesn't|"
    r"whether)\b"
)
_INVITING = re.compile(r"^(?:do (?:the|my|all|our) [^ ]+(?: (?:now|today|please|again))?$|how about|what about|why don't (?:you|we)|why not|do you mind|do me|have (?:the|a|my) )\b")
_STATEMENT = re.compile(
    rf"^{_SUBJECT}(?: 's| 're| 've| 'd|'m)? (?!(?:want|need|said|prefer|'d like|would like|would love|insist|request|require)\b)[^ ]+"
    r"|^(?:i'm|i've|he's|she's|it's|that's|there's|we're|they're|you're|you've|we've|they've)\b"
    r"|^(?:my|his|her|their|our) [^ ]+ (?:is|are|was|were|has|had|does|did|can|could|will|would|always|never|keeps|likes|loves|hates)\b"
)
_ALOUD = re.compile(  # what people say while they think, before what they want: no question and no story of theirs
    r"^(?:(?:hello|hey|sorry|right|oh|okay|um|uh|hmm|wait|well|so) )*(?:are you there|can you hear me|what was i (?:going to say|about to say|saying)|"
    r"where was i|how (?:do|shall) i say (?:this|it)|i was (?:just )?(?:coughing|i mean)|let me (?:start (?:again|over)|think)|i nearly forgot)\b"
    r"(?: (?:oh|yes|okay|right|well|now|just|so|um|uh|hmm))* (?=[^ ]+ [^ ]+)"
)
_WANTS = re.compile(  # what has the form of a statement, and is how one asks: "we're out of towels", "that's enough water for the orchard"
    r"^(?:(?:so|well|now) )?(?:(?:i|we) could (?:do with|use)|(?:i|we)(?: |(?='))(?:'m|'re|am|are|'ve run|have run) out of(?! (?:the|my|our|here|town|time|bed)\b)|(?:what|all) (?:i|we) (?:need|want) is|"
    r"that(?: |(?='))(?:'s|is) (?:enough|plenty)(?: of)?) (?=[^ ])"
)
_NO_MORE = re.compile(  # "we don't need the oven any more, switch it off"; "do not disturb" is a name where nobody is to be disturbed
    r"(?:^(?:i|we) )?\b(?:don't|do not|dont) need (?!to\b)(?:[^ ]+ ){1,5}?(?:any ?more|any longer)\b|"
    r"\bdo not disturb\b(?! (?:me|us|him|her|it|them|my|our|your|his|their|the|any\w*)\b)"
)
_THEN_ASKS = re.compile(
    r".\b(?:(?:can|could|would|will) you|please)\b|. (?:log|save|record|note|add|track|remember|write) (?:it|that|this)(?: down)?$"
)  # "it's too bright in here can you dim the light"
_STATE = re.compile(  # how things are, said before what is wanted: "it's dark, turn on the lights"
    r"^(?:(?:i|it|we|he|she|they|there)(?: |(?='))(?:'s|'m|'re|am|is|are)|(?:my|the|our|his|her|their) [^ ]+(?: [^ ]+)? (?:is|are)) (?!not\b|going to (?!bed\b|sleep\b|work\b))"
)
_BOUND = frozenset(  # a verb after one of these is no order
    words_in(
        "to i we you he she it they who that which and or will would can could shall should must may might do does did don't not 'll 'd "
        "is are am be been being was were 's 're 'm has have had a an the my your his her its our their this these no any some of "
        "still already always never often usually just also only even really almost ever sometimes half wide once all both let help makes make "
        "see saw hear heard watch if when while because since so than as for with by from about"
    )
)
_OBJECTS = frozenset(words_in("the a an my our your all every both some any it them that this those these me us on off up down"))
_ORDERS = frozenset(
    words_in(
        "turn switch set put start stop open close shut lock unlock raise lower dim play pause send bring get give "
        "make add call show water heat warm cool run book order find"
    )
)
_SUPPOSING = re.compile(
    r"^(?:what (?:would|might|if)|how would|imagine|suppose|supposing|assuming)\b"
)  # sums may suppose
_READING_VERBS = frozenset(
    words_in(
        "get find search query calculate compute check list show tell look retrieve fetch convert determine identify estimate predict "
        "analyze analyse provide provides return returns gets finds retrieves calculates computes searches checks shows lists tells "
        "converts fetches determines answer ask read display compare view lookup locate count describe explain inform say give "
        "recommend suggest generate simulate evaluate solve obtain verify validate forecast track measure detect extract report reports status"
    )
)


_CHANGING_VERBS = frozenset(
    words_in(
        "set turn switch start stop open close lock unlock add put send move change adjust increase decrease raise lower dim play pause resume "
        "skip order book cancel delete remove create make run begin end activate deactivate enable disable arm disarm call dial text "
        "write record log register update buy pay transfer reserve schedule water heat cool brew drop let steer mute unmute reset restart"
    )
)


@dataclass(frozen=True)
class Judgement:
    """What a guard makes of a decision. firm: the words forbid it; else they only hold what often does, in another clause."""

    reason: str = ""
    firm: bool = False


def check(text: str, decision: Decision, tools: Mapping[str, Tool]) -> Decision:
    """`decision`, or the same declined with the reason: negated, reported, hypothetical, conditional, past, question, statement.

    Where the reason stands in another clause than the call ("don't close the blinds, turn on the light"), a call of low risk is
    left to the engine's confidence, and any other is confirmed.
    """
    found = judge(text, decision, tools)
    if not found.reason:
        return decision
    if found.firm:
        return replace(decision, calls=(), outcome=Outcome.DECLINE, question=None, reason=found.reason)
    risky = any(tools[call.tool].policy.risk is not Risk.LOW for call in decision.calls if call.tool in tools)
    return replace(decision, outcome=Outcome.CONFIRM) if risky and decision.outcome is Outcome.ACT else decision


def judge(text: str, decision: Decision, tools: Mapping[str, Tool]) -> Judgement:
    """Why the words may forbid the decision's calls, and whether they surely do."""
    if not decision.calls or decision.act is not None or decision.reason in FROM_DIALOGUE:
        return Judgement()
    words = without_fillers(tokenize(text))
    bare = _around(words, decision.calls, tools)
    if decision.reason == FROM_TEMPLATE and not _begins_open(words, decision.calls, tools):
        return Judgement()  # every word but the open values is the template's own
    called = [tools[c.tool] for c in decision.calls if c.tool in tools]
    if _comes_too_late(words, decision.calls, tools):
        return Judgement("past", firm=True)
    if _ALTERS.match(" ".join(strip_polite(tuple(words)))) and called and all(map(_looks_up, called)):
        return Judgement("no tool fits", firm=True)
    reason = refusal(bare, called)
    if not reason:
        return Judgement()
    if reason == "question" and called and not any(_changes(tool) for tool in called):
        return Judgement(reason)
    return Judgement(reason, reason not in _OF_A_CLAUSE or not _elsewhere(text, decision, tools))


_AHEAD = re.compile(
    r"^(?:remind|wake|schedule|book|reserve|arrange|plan|postpone|(?:set|make|create|add|start) (?:me )?(?:a |an |the |another )?(?:alarm|reminder|timer)s?)\b"
)
_GONE = re.compile(
    r"\b(?:yesterday|ago|last (?:night|week|month|year|monday|tuesday|wednesday|thursday|friday|saturday|sunday))\b"
)


_ALTERS = re.compile(r"^(?:change|adjust|raise|lower|increase|decrease|reduce|set(?! up\b))\b")  # what only tells does none of that


def _comes_too_late(words: Sequence[str], calls: Sequence[Call], tools: Mapping[str, Tool]) -> bool:
    """Whether something is asked for ahead of its time whose time is over: "remind me yesterday at four to call".

    "Remind me to read last week's report" is none: the parameter that the words are for must be a time.
    """
    if not _AHEAD.match(" ".join(strip_polite(tuple(words)))):
        return False
    return any(
        wanted(name, tools[call.tool].properties).kinds and _GONE.search(evidence.lower())
        for call in calls
        if call.tool in tools
        for name, evidence in call.evidence.items()
    )


def _changes(tool: Tool) -> bool:
    """Whether the tool is known to change something: by its policy, or a bare schema by a verb in its name or before all in its description."""
    if tool.plugin:
        return tool.policy.changes_state
    return bool(_CHANGING_VERBS.intersection([*tokenize(tool.description)[:1], *_words_of_name(tool)]))


_OF_A_CLAUSE = frozenset(["negated", "statement", "question", "past"])  # the others hold for what comes after, too
_REFUSED_AFTER = re.compile(r"\b(?:and|but)(?: please)? (?:do not|don't|dont|no need to|never|not)\b.*$")
_THIN = frozenset(
    words_in(
        "a an the to you me us i we it this that these those my your our ever even just really please want wants wanted need have had "
        "has think should must again yet now today at all any under circumstances dare of for be been is are was were do does did will "
        "would can could may might already still only so oh okay um uh s re d 's 're 'd not never"
    )
)


def _elsewhere(text: str, decision: Decision, tools: Mapping[str, Tool]) -> bool:
    """Whether every call's own clause may be acted on, and whole words stand between it and what the guard found before it."""
    if len(decision.clauses) != len(decision.calls):
        return False
    for clause, call in zip(decision.clauses, decision.calls, strict=True):
        own = _around(without_fillers(tokenize(clause)), [call], tools)
        kept = _REFUSED_AFTER.sub("", " ".join(own)).split()
        if not kept or refusal(kept, [tools[call.tool]] if call.tool in tools else []):
            return False
        before = strip_polite(tuple(tokenize(text[: text.find(clause)])))
        negations = list(_NEGATION.finditer(" ".join(before)))
        after = " ".join(before)[negations[-1].end() :].split() if negations else before[2:]
        if before and sum(word not in _THIN for word in after) < 2:
            return False
    return True


def refusal(words: Sequence[str], tools: Sequence[Tool] = ()) -> str:
    """Why these words are no request, or "". tools: those that would be called; a question may call one that only tells."""
    courteous = _COURTESY.sub(" ", " ".join(words))
    text = " ".join(strip_polite(tuple(_ALOUD.sub("", " ".join(courteous.split())).split())))
    text = _NO_MORE.sub(" ", _WANTS.sub("", text)).strip()
    spoken = _REMINDS.sub(" ", text)
    only_tells = bool(tools) and all(tells_only(tool) for tool in tools)
    if _NEGATION.search(spoken):
        return "negated"
    if _REPORTED.search(text):
        return "reported"
    if _HYPOTHETICAL.search(text) and not (only_tells and _SUPPOSING.search(text)):
        return "hypothetical"
    condition = _CONDITION.search(text)
    if condition and not (only_tells and condition.start() > 0):
        return "conditional"
    if _QUESTION.search(text):
        return "" if only_tells or _INVITING.search(text) else "question"
    if _PAST.search(text):
        return "past"
    if _STATEMENT.search(text) and not only_tells and not _THEN_ASKS.search(text) and not _then_orders(text):
        return "statement"
    return ""


def _then_orders(text: str) -> bool:
    """Whether an order follows a state of things, with nothing between that makes it part of the statement."""
    if not _STATE.search(text):
        return False
    words = text.split()
    return any(
        word in _ORDERS and words[at - 1] not in _BOUND and words[at + 1] in _OBJECTS
        for at, word in enumerate(words[2:-1], 2)
    )


def tells_only(tool: Tool) -> bool:
    """Whether the tool changes nothing: by its policy; for a bare schema, which has none, by the verb it is described with."""
    if tool.plugin or not tool.policy.changes_state:
        return not tool.policy.changes_state
    return bool(_READING_VERBS.intersection([*tokenize(tool.description)[:1], *_words_of_name(tool)]))


_LOOKING_UP = frozenset(["get", "gets", "read", "reads", "query", "look"])  # "check" also checks out


def _looks_up(tool: Tool) -> bool:
    """Whether the tool surely does no more than look something up: known to change nothing, or a bare schema called get_this or query_that."""
    return not _changes(tool) and (bool(tool.plugin) or not _LOOKING_UP.isdisjoint(_words_of_name(tool)[:2]))


def _words_of_name(tool: Tool) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool.name).lower())


def _spans(words: Sequence[str], calls: Sequence[Call], tools: Mapping[str, Tool]) -> list[tuple[int, int]]:
    """Where the open values stand in `words`."""
    found = []
    for call in calls:
        properties = tools[call.tool].properties if call.tool in tools else {}
        for name, evidence in call.evidence.items():
            schema = properties.get(name)
            said = tuple(without_fillers(tokenize(evidence)))
            if schema is None or not said or evidence in ("default", "context") or not (is_open(schema) or _declared(schema, said)):
                continue
            for at in range(len(words) - len(said) + 1):
                if tuple(words[at : at + len(said)]) == said:
                    found.append((at, at + len(said)))
                    break
    return found


def _declared(schema: Mapping[str, Any], said: tuple[str, ...]) -> bool:
    """Whether the words are a value's own name: "do not disturb" forbids nothing."""
    return any(tuple(tokenize(form)) == said for forms in spoken_forms(schema).values() for form in forms)


_CARRIERS = frozenset(words_in("that which saying say says reading reads"))
_SENDING = frozenset(
    words_in(
        "reply answer respond send text message email write save make create take leave add post note put record set print"
    )
)


def _sends(words: Sequence[str]) -> bool:
    """Whether the words ask to write or send something: "leave a note that says", but not "my sister says"."""
    bare = strip_polite(tuple(words))
    return any(word in _SENDING and (at == 0 or bare[at - 1] in ("and", "then")) for at, word in enumerate(bare))


def _around(words: Sequence[str], calls: Sequence[Call], tools: Mapping[str, Tool]) -> list[str]:
    """`words` with each open value that does not begin the sentence as one neutral word."""
    hidden = [span for span in _spans(words, calls, tools) if span[0] > 0]
    out: list[str] = []
    for at, word in enumerate(words):
        if any(start <= at < end for start, end in hidden):
            if any(at == start for start, _ in hidden):
                while len(out) > 1 and out[-1] in _CARRIERS and _sends(out):  # it names the value; nobody spoke
                    out.pop()
                out.append("something")
            continue
        out.append(word)
    return out


def _begins_open(words: Sequence[str], calls: Sequence[Call], tools: Mapping[str, Tool]) -> bool:
    return any(start == 0 for start, _ in _spans(words, calls, tools))

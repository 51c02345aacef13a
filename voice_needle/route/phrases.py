"""What people wrap around a request without changing it: fillers, politeness, joints between clauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voice_needle.route.numbers import tokenize

Words = tuple[str, ...]

FILLERS = frozenset(["um", "uh", "er", "erm", "hmm", "ah", "mm", "uhm", "hm", "eh"])
JOINTS: tuple[Words, ...] = tuple(
    tuple(tokenize(text))
    for text in (
        "and while you're at it", "and while you are at it", "and when that's done", "and at the same time", "and one more thing",
        "oh and also", "and after that", "and then also", "and then", "and also", "and finally", "and next", "and afterwards",
        "followed by", "after that", "as well as", "in addition", "oh and", "then also", "afterwards", "also", "then", "plus",
        "and", "next",
    )
)  # fmt: skip


def _table(lines: str) -> tuple[Words, ...]:
    found = {tuple(tokenize(line)) for line in lines.strip().splitlines()}
    return tuple(sorted(found, key=len, reverse=True))


_BEFORE = _table("""
no
no no
no wait
no no wait
no sorry
sorry
wait
wait a second
wait a minute
hold on
never mind that
forget that
scratch that
hey
hello
hi
okay
ok
so
well
right
alright
now
just
please
kindly
quickly
oh
oh yes
and
also
first
actually
anyway
listen
you know
you see
i mean
let me see
let me think
let's see
let me think about it
well then
now then
okay so
okay now
hang on
one moment
hey there
sorry to bother you but
could you
could you please
could you just
could you also
can you
can you please
can you just
can you also
can we
can we please
could we
would you
would you please
would you mind
would you mind and
would you kindly
would you be so kind and
would you be so kind as to
will you
will you please
do you think you could
is there any chance you could
is there any chance you can
any chance you could
any chance you can
would it be possible to
is it possible for you to
i was hoping you could
i was wondering if you could
i wonder if you could
i want you to
i want to
i'd like you to
i'd like to
i would like you to
i would like to
i'd love you to
i need you to
i need to
we need to
go ahead and
go and
be so kind and
be so kind as to
be a dear and
do me a favour and
do me a favor and
help me to
help me
let's
it's time to
time to
you may
you can
please just
make sure to
make sure you
be sure to
remember to
if you don't mind
if you would be so kind
if you please
if you could
if possible
when you have a second
when you have a minute
when you have a moment
when you get a chance
oh i nearly forgot
before i forget
one more thing
""")
_AFTER = _table("""
please
thanks
thank you
thanks a lot
thank you very much
for me
for me please
for us
now
right now
right now please
right away
straight away
immediately
at once
will you
would you
could you
can you
okay
ok
if you don't mind
if you would
if you can
if you could
if you please
if possible
when you can
when you have a second
when you have a minute
when you have a moment
when you get a chance
you know
then
""")


def without_fillers(words: Sequence[str]) -> Words:
    """`words` less "um" and its kin, and less a word said twice in a row ("the the")."""
    kept: list[str] = []
    for word in words:
        if word in FILLERS or (kept and kept[-1] == word and not word[0].isdecimal() and word in _STUTTERED):
            continue
        kept.append(word)
    return tuple(kept)


_STUTTERED = frozenset(
    ["the", "a", "to", "in", "on", "can", "could", "you", "turn", "set", "i", "my", "and", "please", "put"]
)


_NOT_COURTESY = (("no", "need"), ("no", "one"), ("no", "more"), ("no", "longer"), ("no", "way"))


def strip_polite(words: Words) -> Words:
    """`words` less every wrapper at either end; never empty unless nothing but wrappers was said."""
    changed = True
    while changed and words:
        changed = False
        for phrase in _BEFORE:
            if words[: len(phrase)] == phrase and words[:2] not in _NOT_COURTESY:
                words, changed = words[len(phrase) :], True
                break
        for phrase in _AFTER:
            if words[-len(phrase) :] == phrase:
                words, changed = words[: -len(phrase)], True
                break
    return words


def requests(words: Words) -> Iterator[Words]:
    """`words`, then without politeness, then with a leading gerund as an imperative ("would you mind turning ...")."""
    yield words
    bare = strip_polite(words)
    if bare and bare != words:
        yield bare
    if bare and bare[0].endswith("ing") and len(bare[0]) > 5:
        stem = bare[0][:-3]
        forms = [stem, stem + "e"]
        if stem[-1] == stem[-2]:
            forms.append(stem[:-1])
        for form in forms:
            yield (form, *bare[1:])


REPAIRS: tuple[Words, ...] = _table("""
no
no wait
no no
no sorry
no i mean
no i meant
no i said
no make that
no make it
no better
no let's say
i mean
i meant
uh i mean
wait
wait no
sorry
sorry i mean
sorry i meant
oh sorry i meant
or rather
rather
actually
actually no
actually make that
actually make it
make that
make it
hang on
hold on
hold on make it
scratch that
correction
pardon
excuse me
oops
that's wrong
let me think
""")
_CONTRASTS: tuple[Words, ...] = (("instead", "of"), ("rather", "than"), ("and", "not"), ("not",))


def repairs(words: Words) -> Iterator[tuple[Words, Words]]:
    """Where the speaker begins again: what was said before "no wait", "i mean" and the like, and what after; first the last."""
    for at in range(len(words) - 2, 0, -1):
        for phrase in REPAIRS:
            if words[at : at + len(phrase)] == phrase and at + len(phrase) < len(words):
                yield words[:at], strip_polite(words[at + len(phrase) :])
                break


def contrasts(words: Words) -> Iterator[tuple[Words, Words]]:
    """ "twenty not thirty": what is meant, and what is not."""
    for at in range(2, len(words) - 1):
        for phrase in _CONTRASTS:
            if words[at : at + len(phrase)] == phrase and 0 < len(words) - at - len(phrase) <= 5:
                yield words[:at], words[at + len(phrase) :]
                break


def splits(words: Words) -> Iterator[tuple[Words, Words]]:
    """Every way to part `words` in two at a joint, longest joint first at each place, from the left."""
    for at in range(1, len(words) - 1):
        for joint in JOINTS:
            if words[at : at + len(joint)] == joint and at + len(joint) < len(words):
                yield words[:at], words[at + len(joint) :]
                break

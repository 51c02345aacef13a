"""What the grammar of a toolset lets people say."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from voice_needle.errors import BadToolSchema
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe.grammar import FRAME, build_grammar
from voice_needle.transcribe.language_model import arpa_text, draw_sentences
from voice_needle.transcribe.network import Network, build_network
from voice_needle.transcribe.patterns import draw
from voice_needle.transcribe.pronounce import dictionary_text, pronunciations

LAMP = Tool(
    name="lamp",
    description="Switch a lamp.",
    parameters={
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["kitchen", "den"], "x-spoken": {"den": ["den", "study"]}},
            "level": {"type": "integer", "x-unit": "percent", "minimum": 0, "maximum": 100},
            "after": {"type": "string", "format": "duration"},
            "bin": {"type": "string", "format": "identifier"},
        },
        "required": ["room"],
    },
    sentences=("(set|dim) the {room} lamp [to {level}] [in {after}]", "find {bin}"),
)


@pytest.fixture(scope="module")
def network() -> Network:
    grammar = build_grammar(Toolset([LAMP]))
    return build_network(grammar.top, grammar.rules, FRAME)


@pytest.mark.parametrize(
    "said",
    [
        "dim the study lamp",
        "please set the kitchen lamp to twenty five percent",
        "set the den lamp to one hundred and fifty percent",  # out of range, but it must be heard
        "dim the kitchen lamp in half an hour",
        "dim the kitchen lamp and find a fourteen",
        "find bravo two seven",
        "make that fifty percent",
        "no study",
        "stop",
        "yes please",
    ],
)
def test_can_be_said(network: Network, said: str) -> None:
    assert network.accepts(said.split())


@pytest.mark.parametrize("said", ["dim the lamp", "kitchen", "find", "set the garden lamp", ""])
def test_cannot_be_said(network: Network, said: str) -> None:
    assert not network.accepts(said.split())


def test_the_hash_follows_sentences_and_names() -> None:
    from dataclasses import replace

    first = build_grammar(Toolset([LAMP])).content_hash
    assert build_grammar(Toolset([LAMP])).content_hash == first
    assert build_grammar(Toolset([replace(LAMP, sentences=("find {bin}",))])).content_hash != first


def test_a_wrong_pattern_names_its_tool() -> None:
    with pytest.raises(BadToolSchema, match=r"tool lamp.*\{colour\}"):
        build_grammar(Toolset([Tool("lamp", "", sentences=("make it {colour}",))]))


def test_jsgf_is_complete() -> None:
    text = build_grammar(Toolset([LAMP])).jsgf()
    assert text.startswith("#JSGF V1.0;")
    import re

    defined = set(re.findall(r"<(\w+)> =", text))
    assert set(re.findall(r"<(\w+)>", text)) - {"NULL"} <= defined


def test_language_model_knows_every_word() -> None:
    grammar = build_grammar(Toolset([LAMP]))
    sentences = draw_sentences(grammar, 500)
    assert sentences == draw_sentences(grammar, 500)
    arpa = arpa_text(sentences, grammar.words)
    unigrams = {
        line.split()[1] for line in arpa.split("\\1-grams:")[1].split("\\2-grams:")[0].splitlines() if line.strip()
    }
    assert grammar.words <= unigrams


def test_pronunciations() -> None:
    found = pronunciations(["lamp", "zzyzx", "shelfomat"])
    assert found["lamp"] == ("L AE M P",)
    assert found["shelfomat"] == ("SH EH L F OW M AE T",)
    assert found["zzyzx"]
    assert "lamp L AE M P\n" in dictionary_text(["lamp"])


def test_a_rule_laid_out_too_often_is_shared_and_every_sentence_stays() -> None:
    grammar = build_grammar(Toolset([LAMP]))
    apart = build_network(grammar.top, grammar.rules, FRAME, share_above=1_000_000)
    shared = build_network(grammar.top, grammar.rules, FRAME, share_above=0)
    assert len(shared.arcs) < 0.7 * len(apart.arcs)
    rng = random.Random(5)
    sentences = [draw(grammar.top, grammar.rules, rng) for _ in range(300)]
    assert all(shared.accepts(words) for words in sentences)
    assert not shared.accepts(["set", "the", "garden", "lamp"])
    assert not shared.accepts(["kitchen"])


def test_names_share_a_copy_only_where_the_same_words_follow():
    """ "turn on the kitchen light" was heard as "... blind" while every room shared one copy."""
    tool = replace(LAMP, sentences=("dim the {room} lamp", "hide the {room} blind", "find {room}", "light the {room} lamp"))
    grammar = build_grammar(Toolset([tool]))
    sizes = []
    for share_above in (1_000_000, 0):
        network = build_network(grammar.top, grammar.rules, FRAME, share_above=share_above)
        assert network.accepts(["dim", "the", "kitchen", "lamp"]) and network.accepts(["hide", "the", "kitchen", "blind"])
        assert not network.accepts(["dim", "the", "kitchen", "blind"])
        assert not network.accepts(["dim", "the", "kitchen"])
        sizes.append(len(network.arcs))
    assert sizes[1] <= sizes[0]


def test_names_are_not_shared_where_a_word_later_other_words_follow():
    """ "turn on the kitchen light" was heard as "... light off": "turn on the kitchen light to ..." shared a copy with "the kitchen light off"."""
    tool = replace(LAMP, sentences=("turn on the {room} light half way", "[hide] the {room} light off"))
    grammar = build_grammar(Toolset([tool]))
    network = build_network(grammar.top, grammar.rules, FRAME, share_above=0)
    assert network.accepts(["turn", "on", "the", "kitchen", "light", "half", "way"])
    assert network.accepts(["the", "kitchen", "light", "off"])
    assert not network.accepts(["turn", "on", "the", "kitchen", "light", "off"])

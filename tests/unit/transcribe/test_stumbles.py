"""What somebody says who breaks off, repeats and corrects, is in the network."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.unit.transcribe.test_grammar import LAMP
from voice_needle.tools import Toolset
from voice_needle.transcribe.grammar import FRAME, Grammar, build_grammar
from voice_needle.transcribe.network import Network, build_network
from voice_needle.transcribe.patterns import draw
from voice_needle.transcribe.stumbles import runs_on


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return build_grammar(Toolset([LAMP]))


@pytest.fixture(scope="module")
def network(grammar: Grammar) -> Network:
    return build_network(grammar.top, grammar.rules, FRAME, stumbling=True)


@pytest.mark.parametrize(
    "said",
    [
        "dim the study lamp",
        "dim the study no the kitchen lamp",
        "dim the study lamp no the kitchen lamp",
        "set the den lamp to twenty sorry thirty percent",
        "set the den lamp to twenty percent make that thirty",
        "set dim the kitchen lamp",
        "set no wait find a fourteen",
        "dim no wait set the den lamp to twenty percent",
        "dim dim the kitchen lamp",
        "dim the the kitchen lamp",
        "dim the kitchen kitchen lamp",
    ],
)
def test_a_stumble_can_be_said(network: Network, said: str) -> None:
    assert network.accepts(said.split())


@pytest.mark.parametrize(
    "said", ["dim the garden lamp", "dim the kitchen lamp no", "no no", "dim the kitchen lamp lamp"]
)
def test_what_means_nothing_still_cannot(network: Network, said: str) -> None:
    assert not network.accepts(said.split())


def test_only_what_was_said_is_said_twice() -> None:
    """"in" and "out of" lead to the same place; after "in" there is no "of" to repeat ("from a fourteen" was read "from of fourteen")."""
    grammar = build_grammar(Toolset([replace(LAMP, sentences=("look (in|out of) {room}",))]))
    network = build_network(grammar.top, grammar.rules, FRAME, stumbling=True)
    for said, possible in (
        ("look in in kitchen", True),
        ("look out of of kitchen", True),
        ("look in of kitchen", False),
        ("look out of in kitchen", False),
    ):
        assert network.accepts(said.split()) is possible, said


def test_every_plain_sentence_stays(grammar: Grammar, network: Network) -> None:
    rng = random.Random(7)
    assert all(network.accepts(draw(grammar.top, grammar.rules, rng)) for _ in range(200))


def test_a_reply_is_a_value_a_correction_or_a_word_to_the_conversation(grammar: Grammar) -> None:
    reply = build_network(grammar.reply, grammar.rules, FRAME)
    for said in (
        "yes",
        "stop talking",
        "the kitchen",
        "no the study lamp",
        "thirty percent",
        "make that thirty",
        "and the den too",
    ):
        assert reply.accepts(said.split()), said
    assert not reply.accepts(["dim", "the", "kitchen", "lamp"])


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ("turn on the the the hall light", False),
        ("open the the the the the shade", True),
        ("the the", False),
        ("stop stop stop stop stop", False),
        ("no no no no", False),
        ("call two two two two two", False),
        ("to the to the to the to the dock", False),
        ("", False),
    ],
)
def test_nobody_says_a_small_word_four_times_in_a_row(said: str, runs: bool) -> None:
    assert runs_on(said.split()) is runs

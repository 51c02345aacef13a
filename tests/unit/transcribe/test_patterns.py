"""Sentence patterns, their automata and number words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.transcribe.automaton import compile_patterns
from voice_needle.transcribe.network import build_network
from voice_needle.transcribe.patterns import (
    Choice,
    Loop,
    Node,
    Ref,
    Seq,
    Words,
    draw,
    every_sentence,
    number_words,
    parse,
    spoken_words,
)

ROOMS = Choice((Words(("kitchen",)), Words(("living", "room"))))


def room_slot(_: str, name: str) -> Choice:
    if name != "room":
        raise ValueError(f"{{{name}}} is not a parameter")
    return ROOMS


def sentences(template: str, **expansions: str) -> set[str]:
    return {" ".join(words) for words in every_sentence(parse(template, room_slot, expansions), {})}


def test_alternatives_options_and_slots() -> None:
    assert sentences("(turn|switch) on [the] {room}") == {
        f"{verb} on {the}{room}"
        for verb in ("turn", "switch")
        for the in ("", "the ")
        for room in ("kitchen", "living room")
    }


def test_glued_pieces_are_one_word() -> None:
    assert sentences("light[s]") == {"light", "lights"}
    assert sentences("{room}'s lamp") == {"kitchen's lamp", "living room's lamp"}


def test_expansions_and_any_order() -> None:
    assert sentences("<a> go", a="(please|now)") == {"please go", "now go"}
    assert sentences("(one;two)") == {"one two", "two one"}


@pytest.mark.parametrize(
    ("template", "expansions", "message"),
    [
        ("turn on [the", {}, "cannot read"),
        ("<a>", {"a": "<b>", "b": "<a>"}, "contains itself"),
        ("<nothing>", {}, "no expansion"),
        ("{lamp}", {}, "not a parameter"),
    ],
)
def test_mistakes_are_named(template: str, expansions: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(template, room_slot, expansions)


def test_spoken_words() -> None:
    assert spoken_words("Set A14 to 50%") == ("set", "a", "fourteen", "to", "fifty", "percent")
    assert spoken_words("don't 007") == ("don't", "zero", "zero", "seven")


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=999_999))
def test_number_words_read_back(value: int) -> None:
    from voice_needle.route.numbers import read_number

    read = read_number(number_words(value), 0)
    assert read is not None
    assert (float(read[0]), read[1]) == (float(value), len(number_words(value)))


@settings(max_examples=60, deadline=None)
@given(st.recursive(
    st.sampled_from([Words(("a",)), Words(("b", "c")), Words(()), Ref("rule")]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: Choice(tuple(items))),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: Seq(tuple(items))),
    ),
    max_leaves=8,
))  # fmt: skip
def test_the_automaton_accepts_exactly_what_the_pattern_says(node: object) -> None:
    rules = {"rule": Choice((Words(("d",)), Words(("d", "a"))))}
    automaton = compile_patterns(node, rules)  # type: ignore[arg-type]
    said = set(every_sentence(node, rules))  # type: ignore[arg-type]
    assert all(automaton.accepts(words) for words in said)
    rng = random.Random(1)
    for _ in range(40):
        words = tuple(rng.choice("abcd") for _ in range(rng.randint(0, 4)))
        assert automaton.accepts(words) == (words in said)


def test_five_optional_extras_stay_small() -> None:
    template = "coffee " + " ".join(["[(with|and) {room}]"] * 5)
    automaton = compile_patterns(parse(template, room_slot, {}), {})
    assert len(automaton.arcs) < 20
    assert automaton.accepts(["coffee", "with", "kitchen", "and", "living", "room"])


def test_a_network_holds_its_values_and_loops() -> None:
    rules = {"letters": Loop(Choice((Words(("a",)), Words(("b",)))), 3), "command": Words(("bin",))}
    network = build_network(Seq((Ref("command"), Ref("letters"))), rules, frozenset({"command"}))
    assert network.accepts(["bin", "a", "b", "b", "a", "a"])
    assert not network.accepts(["bin"])
    assert not network.accepts(["a"])
    assert draw(rules["letters"], rules, random.Random(0))


def test_shares_say_how_often_each_way_is_drawn() -> None:
    def no_slot(_: str, name: str) -> Node:
        raise ValueError(name)

    node = parse("<size> tea", no_slot, {"size": "(large|small)"}, shares={"size": (0.9, 0.1)})
    rng = random.Random(1)
    drawn = [draw(node, {}, rng) for _ in range(500)]
    assert 0.8 < sum(words == ("large", "tea") for words in drawn) / 500 < 0.97

"""Misheard names are put right, and nothing else is touched."""

from __future__ import annotations

import pytest

from voice_needle.events import Transcript, Word
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe.vocabulary import Vocabulary, known_words

ROOM = {"type": "string", "enum": ["kitchen", "living_room", "bathroom", "bedroom"], "x-vocabulary": "room"}
NAME = {"type": "string", "enum": ["meyer", "maier", "okonkwo"], "x-vocabulary": "person"}
TOOLS = Toolset([
    Tool("light", "", {"type": "object", "properties": {"room": ROOM}}, sentences=("turn on the light in the {room}",)),
    Tool("call", "", {"type": "object", "properties": {"person": NAME}}, sentences=("call {person}",)),
])  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(TOOLS, known_words(TOOLS))


def test_a_misheard_name_is_repaired_and_noted(vocabulary: Vocabulary) -> None:
    words = tuple(Word(word) for word in ["turn", "on", "the", "light", "in", "the", "kichin"])
    fixed = vocabulary.repair(Transcript("turn on the light in the kichin", words))
    assert fixed.text == "turn on the light in the kitchen"
    assert [word.text for word in fixed.words] == fixed.text.split()
    (repair,) = fixed.repairs
    assert (repair.heard, repair.repaired, repair.vocabulary) == ("kichin", "kitchen", "room")
    assert 0.78 <= repair.score <= 1.0


def test_a_name_cut_in_two_is_joined(vocabulary: Vocabulary) -> None:
    assert vocabulary.repair(Transcript("call okon quo")).text == "call okonkwo"


@pytest.mark.parametrize(
    "text",
    [
        "turn on the light in the bathroom",  # known, although close to bedroom
        "call mayer",  # two names sound like it
        "turn on the light in the garden",  # like no room
        "call",
        "",
    ],
)
def test_left_alone(vocabulary: Vocabulary, text: str) -> None:
    transcript = Transcript(text)
    assert vocabulary.repair(transcript) == transcript

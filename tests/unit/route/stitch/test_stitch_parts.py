"""Stitch without its weights: word-pieces, schema texts, rounding, decoding and confidence, each against what is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.errors import ModelCorrupt
from voice_needle.events import Call, RouteContext
from voice_needle.route.stitch.arguments import Draft, Reader, likely_spans, words_of
from voice_needle.route.stitch.cache import ToolVectors
from voice_needle.route.stitch.confidence import FEATURES, Calibration, Curve, Prior, Trees
from voice_needle.route.stitch.decode import places
from voice_needle.route.stitch.encoder.hints import mark, padded
from voice_needle.route.stitch.encoder.hints import places as form_places
from voice_needle.route.stitch.encoder.network import Selected
from voice_needle.route.stitch.encoder.overlap import Overlap, ToolWords
from voice_needle.route.stitch.encoder.round4 import LEVELS, pack
from voice_needle.route.stitch.encoder.slots import PARAMETER, SIZE, VALUE, WORD, slots_of
from voice_needle.route.stitch.encoder.tokens import WordPieces
from voice_needle.route.stitch.engine import _repeated
from voice_needle.route.stitch.schema_text import KINDS, tool_text, words
from voice_needle.tools import Tool

NOW = RouteContext(now=datetime(2026, 11, 21, 10, 0, tzinfo=UTC))
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789", *".%'$:-",
              *(f"##{sign}" for sign in "abcdefghijklmnopqrstuvwxyz0123456789"), "turn", "on", "the", "light", "kitchen", "set"]  # fmt: skip


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> WordPieces:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    return WordPieces(path)


# --- slots ---


LAMP = tool_text({
    "name": "lamp_set", "description": "Set the light.",
    "parameters": {"properties": {
        "colour": {"enum": ["red", "warm"], "x-spoken": {"red": ["red"], "warm": ["cosy", "candle light"]}},
        "level": {"type": "integer"},
    }},
})  # fmt: skip


def test_a_tool_has_a_slot_for_each_word_parameter_and_value(pieces: WordPieces) -> None:
    found = slots_of(LAMP, pieces.schema_ids([LAMP.text])[0], pieces.wordlike())
    words = len(found.places)
    assert found.kinds.tolist() == [WORD] * words + [PARAMETER] * 2 + [VALUE] * 2
    assert 0 < words <= 18 and found.values == ((0, 0), (0, 1))
    assert "set" in {VOCABULARY[piece] for piece in found.ids} and ":" not in {VOCABULARY[piece] for piece in found.ids}


def test_a_slot_knows_whether_it_was_said(pieces: WordPieces) -> None:
    found = slots_of(LAMP, pieces.schema_ids([LAMP.text])[0], pieces.wordlike())
    text = "some candle light in the kitchen"
    said = found.said(LAMP, padded(text), pieces.utterance(text).ids)
    named = {VOCABULARY[piece] for piece, held in zip(found.ids, said[: len(found.ids)], strict=True) if held}
    assert {"light", "the"} <= named and "set" not in named
    assert said[len(found.ids) :].tolist() == [True, False, False, True]


# --- word-pieces -----------------------------------------------------------------------------------------------------


def test_sentence_punctuation_is_left_out_and_offsets_stay_those_of_the_text(pieces: WordPieces) -> None:
    text = 'Turn on, "the" light. Set 5.5%!'
    cut = pieces.utterance(text)
    seen = [text[start:end] for start, end in cut.spans[1:-1].tolist()]
    assert seen == ["Turn", "on", "the", "light", "Set", "5", ".", "5", "%"]


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_cut_with_offsets_inside_it(pieces: WordPieces, text: str) -> None:
    cut = pieces.utterance(text, limit=40)
    assert 2 <= len(cut) <= 40
    assert (cut.spans >= 0).all() and (cut.spans <= len(text)).all()


def test_ten_thousand_words_are_marked_as_truncated(pieces: WordPieces) -> None:
    assert pieces.utterance("light " * 10_000).truncated
    assert not pieces.utterance("turn on the light").truncated


def test_a_span_covers_the_pieces_that_overlap_it(pieces: WordPieces) -> None:
    cut = pieces.utterance("turn on the kitchen light")
    assert cut.cover(12, 19) == (4, 4)
    assert cut.cover(25, 30) is None


# --- schema texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spoken"), [("HassTurnOn", "hass turn on"), ("math.sum", "math sum"), ("set_volume", "set volume"), ("getHTMLPage", "get html page")]
)
def test_names_are_read_as_words(name: str, spoken: str) -> None:
    assert words(name) == spoken


def test_a_tool_reads_as_its_words_kinds_and_values() -> None:
    text = tool_text(
        {"name": "set_light", "description": "Set a light.", "parameters": {"type": "object", "required": ["room"], "properties": {
            "room": {"type": "string", "enum": ["living_room", "hall"], "x-spoken": {"living_room": ["lounge", "living room"]}},
            "level": {"type": "integer", "x-unit": "percent", "description": "How bright"},
            "on": {"type": "boolean"},
            "until": {"type": "string", "format": "time"},
        }}}
    )  # fmt: skip
    assert text.text == "set light: Set a light. (room, level, on, until)"
    assert [KINDS[item.kind] for item in text.parameters] == ["enum", "percent", "boolean", "time"]
    assert [item.required for item in text.parameters] == [True, False, False, False]
    assert text.parameters[0].values[0].forms == ("lounge", "living room")
    assert [value.value for value in text.parameters[2].values] == [True, False]
    assert "percent" in text.parameters[1].text


def test_schemas_that_make_no_sense_are_read_without_raising() -> None:
    loop: dict[str, object] = {"anyOf": []}
    loop["anyOf"] = [loop]
    broken = {"name": "x", "parameters": {"properties": {"a": loop, "b": None, "c": {"type": ["null", "wat"]}, "d": {"$ref": "#"}}}}
    assert len(tool_text(broken).parameters) == 4
    assert tool_text({"name": "y", "parameters": {"properties": []}}).parameters == ()


# --- hints -----------------------------------------------------------------------------------------------------------


def test_spoken_forms_are_found_as_whole_words_only(pieces: WordPieces) -> None:
    held = padded("Turn on the kitchen-light!")
    assert form_places(held, "kitchen-light") == [(12, 25)]
    assert form_places(padded("the lights"), "light") == []
    text = tool_text({"name": "t", "parameters": {"properties": {"room": {"enum": ["kitchen", "hall"]}}}})
    hints = np.zeros((1, 7, 2), np.bool_)
    cut = pieces.utterance("turn on the kitchen light")
    assert mark(padded("turn on the kitchen light"), cut, text.parameters, hints) == [[True, False]]
    assert np.argwhere(hints).tolist() == [[0, 4, 0], [0, 4, 1]]


# --- rounding --------------------------------------------------------------------------------------------------------


def test_four_bits_keep_each_number_within_half_a_level() -> None:
    table = np.random.default_rng(3).normal(size=(50, 128)).astype(np.float32)
    packed = pack(table)
    back = packed.rows(np.arange(50))
    assert packed.codes.nbytes == 50 * 64
    widest = float(np.diff(LEVELS).max()) / 2
    limit = np.abs(table.reshape(50, 2, 64)).max(-1).repeat(64, axis=-1) * (widest + 1e-3)
    assert (np.abs(back - table) <= limit).all()
    assert np.allclose(pack(back).rows(np.arange(50)), back, atol=1e-3)


# --- decoding --------------------------------------------------------------------------------------------------------


def selected(present: list[float], starts: list[list[float]], count: int) -> Selected:
    logits = np.full(5, -5.0, np.float32)
    logits[count] = 5.0
    return Selected(np.array(present, np.float32), np.array(starts, np.float32), 4.0, logits)


def test_one_tool_may_be_called_twice_from_two_words_on() -> None:
    found = places(selected([3.0, -4.0], [[-9, 5, -5, -5, 4, -5, -9], [-9] * 7], count=2))
    assert [(place.tool, place.start) for place in found] == [(0, 1), (0, 4)]


def test_two_tools_that_claim_one_start_leave_the_likelier() -> None:
    found = places(selected([3.0, 1.0], [[-9, 5, -5, -9], [-9, 6, -5, -9]], count=1))
    assert [place.tool for place in found] == [0]


def test_no_more_calls_than_the_network_counts() -> None:
    found = places(selected([3.0], [[-9, 5, -5, 1, -5, -9]], count=1))
    assert [place.start for place in found] == [1]


def test_as_many_tools_as_the_network_counts_though_the_second_is_a_doubtful_one() -> None:
    found = places(selected([3.0, -1.0, -2.9], [[-9, 5, -5, -5, -5, -9], [-9, -5, -5, -5, 2, -9], [-9, -5, -5, 1, -5, -9]], count=2))
    assert [(place.tool, place.start) for place in found] == [(0, 1), (1, 4)]


def test_what_is_hardly_likely_is_not_even_proposed() -> None:
    assert places(selected([-3.5], [[-9, 5, -9]], count=0)) == []
    assert len(places(selected([-1.0], [[-9, 5, -9]], count=0))) == 1


def test_the_two_marks_are_never_part_of_a_span() -> None:
    start, end = np.array([9, 1, 0, 9], np.float32), np.array([9, 0, 1, 9], np.float32)
    first, last, sure = likely_spans(start, end)[0]
    assert (first, last) == (1, 2) and sure < 0
    assert all(1 <= a <= b <= 2 for a, b, _ in likely_spans(start, end))


def test_a_span_inside_a_word_is_widened_to_the_word(pieces: WordPieces) -> None:
    text = "set it to 22.5 degrees"
    cut = pieces.utterance(text)
    inner = cut.cover(13, 14)
    assert inner is not None and words_of(text, cut, *inner) == "22.5"


def reader(pieces: WordPieces, text: str, schema: dict[str, object], name: str = "t", floor: float = 0.0, described: str = "") -> Reader:
    tool = Tool.from_schema({"name": name, "description": described, "parameters": schema})
    held = tool_text(tool.schema())
    zero = np.zeros(384, np.float32)
    vectors = ToolVectors(held, zero, zero, np.zeros((len(held.parameters), 384), np.float32), zero, (), ToolWords.of(held),
                          np.zeros((0, SIZE), np.float32), slots_of(held, [2, 3], pieces.wordlike()))  # fmt: skip
    return Reader(text, pieces.utterance(text), tool, vectors, NOW, len(text), floor)


def test_two_parameters_never_take_their_values_from_the_same_words(pieces: WordPieces) -> None:
    both = {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    found = reader(pieces, "set 4 on 7", both)
    at_four, at_seven = np.array([-9, -9, 5, -9, 4, -9], np.float32), np.array([-9, -9, 1, -9, 0, -9], np.float32)
    found.read(0, 3.0, at_four, at_four, None, [])
    found.read(1, 3.0, at_seven, at_seven, None, [])
    assert dict(found.draft().call.arguments) == {"a": 4, "b": 7}


def test_a_required_value_whose_words_are_all_anothers_comes_from_what_is_left(pieces: WordPieces) -> None:
    both = {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    at_four = np.array([-9, -9, 5, -9, -5, -9], np.float32)  # ten nats and more for the other number
    asked = reader(pieces, "set 4 on the", both)
    here = reader(pieces, "set 4 on 7", both)
    for found in (asked, here):
        found.read(0, 3.0, at_four, at_four, None, [])
        found.read(1, 3.0, at_four, at_four, None, [])
    assert sorted(here.draft().call.arguments.values()) == [4, 7] and here.draft().question is None
    assert list(asked.draft().call.arguments.values()) == [4]
    assert asked.draft().question is not None and asked.draft().question.kind == "missing"


def test_an_optional_value_takes_no_words_from_a_required_one(pieces: WordPieces) -> None:
    both = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    found = reader(pieces, "set 4 on 7", both)
    at_four = np.array([-9, -9, 9, -9, -9, -9], np.float32)
    found.read(0, 3.0, at_four, at_four, None, [])
    found.read(1, 9.0, at_four, at_four, None, [])
    assert dict(found.draft().call.arguments) == {"a": 4}


@pytest.mark.parametrize(
    ("text", "said", "given"),
    [
        ("send a reply to maya", "send a reply", None),
        ("send a reply to maya", "reply", None),
        ("send a reply to maya", "maya", "maya"),
        ("send a reply to the reply team", "reply team", "reply team"),
        ("reply thanks", "thanks", "thanks"),
    ],
)
def test_the_request_itself_is_not_what_it_asks_to_send(pieces: WordPieces, text: str, said: str, given: str | None) -> None:
    schema = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    tool = Tool.from_schema({"name": "reply_to_message", "description": "Send somebody a reply.", "parameters": schema})
    found = reader(pieces, text, schema, tool.name, described=tool.description)
    first, last = pieces.utterance(text).cover(text.rindex(said), text.rindex(said) + len(said)) or (0, 0)
    start, end = (np.full(len(pieces.utterance(text)), -30, np.float32) for _ in range(2))
    start[first], end[last] = 30, 30
    found.read(0, 3.0, start, end, None, [])
    draft = found.draft()
    assert draft.call.arguments.get("text") == given
    assert given is not None or (draft.question is not None and draft.question.kind == "missing")


def test_what_is_optional_may_be_named_by_the_request(pieces: WordPieces) -> None:
    """ "Book a taxi" of book_taxi or the like: nothing is missing, and the word still says what kind."""
    schema = {"type": "object", "properties": {"kind": {"type": "string"}}}
    found = reader(pieces, "book a taxi", schema, "transport_book", described="Book a ride.")
    first, last = pieces.utterance("book a taxi").cover(0, 4) or (0, 0)
    start, end = (np.full(len(pieces.utterance("book a taxi")), -30, np.float32) for _ in range(2))
    start[first], end[last] = 30, 30
    found.read(0, 3.0, start, end, None, [])
    assert dict(found.draft().call.arguments) == {"kind": "book"}


@pytest.mark.parametrize(
    ("said", "given"), [("weekly", {"a": "week"}), ("week", {"a": "week"}), ("daily", None), ("we", None)]
)
def test_a_longer_form_of_a_value_is_that_value_where_the_network_means_it(
    pieces: WordPieces, said: str, given: dict[str, str] | None
) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": ["week", "month"]}}}
    text = f"pay {said}"
    found = reader(pieces, text, schema)
    length = len(pieces.utterance(text))
    start, end = np.full(length, -9, np.float32), np.full(length, -9, np.float32)
    start[4], end[length - 2] = 9, 9
    found.read(0, 3.0, start, end, np.array([1.0, 0.5], np.float32), [False, False])
    draft = found.draft()
    assert (dict(draft.call.arguments) if draft.question is None else None) == given


@pytest.mark.parametrize(("present", "asks"), [(1.0, True), (-0.5, False)])
def test_an_optional_choice_that_was_hardly_given_is_not_asked_about(pieces: WordPieces, present: float, asks: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "enum": ["week", "month"]}}}
    found = reader(pieces, "pay the kitchen", schema, floor=-1.5)
    found.read(0, present, *(np.array([-9, -9, -9, -9, 9, 9, -9], np.float32)[:7],) * 2, np.zeros(2, np.float32), [False, False])
    assert (found.draft().question is not None) == asks


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("kind", [{"enum": ["eco", "quick"]}, {}])
def test_words_that_only_name_the_tool_are_no_optional_value_and_no_reason_to_ask(
    pieces: WordPieces, kind: dict[str, object], required: bool
) -> None:
    schema = {"type": "object", "required": ["a"] if required else [], "properties": {"a": {"type": "string", **kind}}}
    found = reader(pieces, "start the dishwasher", schema, "start_dishwasher")
    length = len(pieces.utterance("start the dishwasher"))
    start, end = np.full(length, -9, np.float32), np.full(length, -9, np.float32)
    start[3], end[length - 2] = 5, 5  # "dishwasher", of as many pieces as it may have
    found.read(0, 1.0, start, end, np.zeros(2, np.float32) if kind else None, [False, False])
    draft = found.draft()
    if required:
        assert draft.question is not None or draft.call.arguments
    else:
        assert draft.question is None and not draft.call.arguments


def test_a_number_out_of_range_becomes_a_question_and_is_not_clamped(pieces: WordPieces) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 5}}}
    found = reader(pieces, "set 70", schema)
    at = np.array([-9, -9, 5, -9], np.float32)
    found.read(0, 3.0, at, at, None, [])
    draft = found.draft()
    assert draft.question is not None and draft.question.kind == "out_of_range"
    assert "a" not in draft.call.arguments


def test_a_name_outside_the_vocabulary_is_asked_about_and_not_replaced_by_the_nearest(pieces: WordPieces) -> None:
    schema = {"type": "object", "required": ["room"], "properties": {
        "room": {"type": "string", "enum": ["kitchen", "hall"], "x-spoken": {"kitchen": ["kitchen"], "hall": ["hall"]}}}}  # fmt: skip
    found = reader(pieces, "turn on the attic light", schema)
    at = np.array([-9, -9, -9, -9, *[5] * 5, -9, -9], np.float32)[: len(pieces.utterance("turn on the attic light"))]
    found.read(0, 3.0, at, at, np.array([1.0, 0.0], np.float32), [False, False])
    draft = found.draft()
    assert draft.question is not None and draft.question.kind == "unknown_value"
    assert "room" not in draft.call.arguments


# --- confidence ------------------------------------------------------------------------------------------------------


def test_a_curve_is_a_logistic_regression_and_then_its_isotonic_points() -> None:
    weights = [0.0] * len(FEATURES)
    weights[0] = 2.0
    row = np.zeros(len(FEATURES), np.float32)
    row[0] = 1.5
    plain = Curve([0.0] * len(FEATURES), [1.0] * len(FEATURES), weights, -1.0)
    assert plain(row) == pytest.approx(1 / (1 + math.exp(-2.0)))
    bent = Curve(plain.mean, plain.scale, weights, -1.0, [0.0, 1.0], [0.0, 0.5])
    assert bent(row) == pytest.approx(0.5 / (1 + math.exp(-2.0)))


def test_trees_of_depth_three_answer_by_their_questions() -> None:
    tree = Trees([[0, 1, 2, 0, 0, 0, 2]], [[0.0, 5.0, -1.0, 0.0, 0.0, 0.0, 1.0]], [[1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 16.0]], 0.5)
    rows = {(-1.0, 0.0, 0.0): 1.0, (0.0, 9.0, 0.0): 2.0, (1.0, 0.0, -1.0): 4.0, (1.0, 0.0, 1.0): 8.0, (1.0, 0.0, 2.0): 16.0}
    for row, wanted in rows.items():
        assert tree(np.array(row, np.float32)) == 0.5 + wanted
    with pytest.raises(ValueError, match="depth three"):
        Trees([[0, 1]], [[0.0, 1.0]], [[1.0, 2.0]], 0.0)


@pytest.mark.parametrize("content", ["{", '{"features": []}', json.dumps({"features": list(FEATURES), "act": {"mean": []}})])
def test_a_damaged_calibration_is_an_error_with_a_fix(tmp_path: Path, content: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(ModelCorrupt) as caught:
        Calibration.load(path)
    assert caught.value.fix


# --- words in common -------------------------------------------------------------------------------------------------


def test_rare_words_that_a_tool_shares_with_the_utterance_count_more_than_common_ones() -> None:
    oven = ToolWords.of(tool_text({"name": "heat_oven", "description": "Set the oven's temperature", "parameters": {}}))
    kettle = ToolWords.of(tool_text({"name": "boil_kettle", "description": "Heat the water", "parameters": {"properties": {
        "level": {"enum": ["warm", "hot"], "description": "to which temperature"}}}}))  # fmt: skip
    overlap = Overlap({**{word: 1000 + n for n, word in enumerate(["the", "to", "set", "get", "up"])}, "oven": 17428, "warm": 4010, **{
        f"word{n}": n for n in range(26000)}})
    (head, body), (other, _) = overlap.shares("get the ovens up to ninety", [oven, kettle])
    assert head > 0.3 and body == 0.0 and other < 0.1
    assert overlap.shares("make it warm", [kettle])[0][1] > overlap.shares("make it warm", [oven])[0][1]


def test_a_prior_shifts_logits_by_what_else_speaks_for_a_tool() -> None:
    prior = Prior(0.5, (2.0, 0.0, 1.0), -1.0)
    support = np.array([[0.5, 0.9, 0.0], [0.0, 0.0, 1.0]], np.float32)
    assert prior(np.array([4.0, -2.0], np.float32), support).tolist() == pytest.approx([2.0, -1.0])


def test_the_same_call_twice_in_a_breath_is_made_once() -> None:
    warm, warmer = Call("heat", {"degrees": 180}, {"degrees": "one eighty"}), Call("heat", {"degrees": 200}, {"degrees": "two hundred"})
    drafts = [Draft(call, None) for call in (warm, warmer, replace(warm, evidence={"degrees": "180"}))]
    assert _repeated(drafts) == {2}
    assert _repeated(drafts[:2]) == set()


def test_a_part_of_what_another_call_says_is_no_call_of_its_own() -> None:
    part, whole = {"a": "yellow", "b": "blue"}, {"a": "yellow", "b": "blue", "level": 60}
    said = {"a": "yellow", "b": "blue", "level": "sixty"}

    def again(*calls: Call) -> set[int]:
        return _repeated([Draft(call, None) for call in calls])

    full = Call("mix", whole, said)
    assert again(Call("mix", part, {"a": "yellow", "b": "blue"}), full) == {0}
    assert again(full, Call("mix", part, {"a": "yellow", "b": "blue"})) == {1}
    assert again(Call("mix", {"a": "red", "b": "blue"}, {"a": "red", "b": "blue"}), full) == set()
    assert again(Call("mix", part, {"a": "the yellow one", "b": "blue"}), full) == set()
    assert again(Call("stir", part, {"a": "yellow", "b": "blue"}), full) == set()
    assert again(Call("mix", {}, {}), full) == set()

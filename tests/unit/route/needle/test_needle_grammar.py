"""Whatever the weights say, the text is a whole and valid answer."""

import json
from collections import OrderedDict

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from needle_parts import SMALL, tokenizer_model

from voice_needle.route.needle.checkpoint import generated
from voice_needle.route.needle.decoder import NeedleModel
from voice_needle.route.needle.grammar import CALLS, ITEMS, STRING, Grammar
from voice_needle.route.needle.model_onnx import build
from voice_needle.route.needle.tokenizer import Tokenizer
from voice_needle.route.needle.tokens import Tokens

LIGHT = {
    "type": "object",
    "properties": {
        "room": {"enum": ["kitchen", "living_room", "büro"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 100},
        "on": {"type": "boolean"},
    },
    "required": ["room"],
}
NOTE = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2}},
    "required": ["text"],
}
TOOLS = [("light_set", LIGHT), ("note", NOTE), ("stop", {})]
TOKENIZER = Tokenizer(tokenizer_model())
VOCABULARY = Tokens(TOKENIZER.content)


def accepts(text, tools=TOOLS):
    grammar = Grammar(tools)
    state = grammar.walk(grammar.start, text.encode())
    return state >= 0 and grammar.finished(state)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        " []",
        '[{"name":"stop","arguments":{}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen"}}]',
        '[{"name":"light_set","arguments":{"on":true,"room":"living_room","level":-12}}]',
        '[{"name":"light_set","arguments":{"room":"büro"}}]',
        '[{"name":"light_set","arguments":{"room":"b\\u00fcro"}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","level":150}}]',  # ranges are judged later: see the module
        '[{"name":"note","arguments":{"text":"say \\"hi\\" \\u00e9 é 日本 🎉"}}]',
        '[{"name":"note","arguments":{"text":"","tags":[]}}]',
        '[{"name":"note","arguments":{"tags":["a","b"],"text":"x"}},{"name":"stop","arguments":{}}]',
    ],
)
def test_valid_answers_are_in_the_language(text):
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}",
        "[[]]",
        '[{"name":"fly","arguments":{}}]',
        '[{"name":"light_set","arguments":{}}]',
        '[{"name":"light_set","arguments":{"level":5}}]',
        '[{"name":"light_set","arguments":{"room":"attic"}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","room":"kitchen"}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","level":1.5}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","level":05}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","level":"5"}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","on":1}}]',
        '[{"name":"light_set","arguments":{"room":"kitchen","colour":"red"}}]',
        '[{"name":"note","arguments":{"text":"a\nb"}}]',
        '[{"name":"note","arguments":{"text":"\\ud83d"}}]',
        '[{"name":"note","arguments":{"text":"x","tags":["a","b","c"]}}]',
        '[{"name":"stop","arguments":{}}',
        '[{"name":"stop","arguments":{}},]',
        '[{"name":"stop","arguments":{}}][]',
    ],
)
def test_other_text_is_not(text):
    assert not accepts(text)


def test_damaged_utf8_never_enters_a_string():
    grammar = Grammar(TOOLS)
    at = grammar.walk(grammar.start, b'[{"name":"note","arguments":{"text":"')
    for damaged in (
        b"\x80",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf5\x80\x80\x80",
        b"\xe0\x80\x80",
        b"\xf4\x90\x80\x80",
    ):
        assert grammar.walk(at, damaged) < 0, damaged
    assert grammar.walk(at, "\u0700\u0fff\ud7ff\ue000\U0010ffff".encode()) >= 0


PREFIXES = [b"", b"[", b'[{"name":"', b'[{"name":"light_set","arguments":{', b'[{"name":"light_set","arguments":{"room":"ki',
            b'[{"name":"light_set","arguments":{"room":"kitchen","level":1', b'[{"name":"note","arguments":{"text":"', b'[{"name":"note","arguments":{"text":"a\\',
            b'[{"name":"note","arguments":{"text":"a\\u00', b'[{"name":"note","arguments":{"text":"\xc3', b'[{"name":"note","arguments":{"text":"a","tags":["b"',
            b'[{"name":"note","arguments":{"text":"' + b"a" * (STRING - 3), b'[{"name":"note","arguments":{"text":"' + b"a" * STRING,
            b'[{"name":"stop","arguments":{}}']  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_ids_allowed_are_exactly_those_whose_bytes_fit(prefix):
    """The trie and the short cut for strings, against walking every id by itself."""
    grammar = Grammar(TOOLS)
    state = grammar.walk(grammar.start, prefix)
    assert state >= 0
    found = VOCABULARY.allowed(grammar, state, OrderedDict())
    one_by_one = [
        number for number, content in enumerate(TOKENIZER.content) if content and grammar.walk(state, content) >= 0
    ]
    assert sorted(found.tolist()) == one_by_one
    assert one_by_one


def test_the_shortest_way_is_the_shortest():
    for prefix in PREFIXES:
        grammar = Grammar(TOOLS)
        state, told = grammar.walk(grammar.start, prefix), bytearray(prefix)
        left = grammar.shortest(state)
        while not grammar.finished(state):
            ways = {byte: grammar.step(state, byte) for byte in range(256)}
            byte, state = min(((b, s) for b, s in ways.items() if s >= 0), key=lambda way: grammar.shortest(way[1]))
            told.append(byte)
        assert len(told) == len(prefix) + left
        json.loads(told.decode())


# --- whatever the weights say ----------------------------------------------------------------------------------------


class Noise(NeedleModel):
    """Logits from a seed: what weights may say at worst. lean: added to the ids that open and lengthen things."""

    def __init__(self, seed, lean):
        self._random = np.random.default_rng(seed)
        self._lean = np.array(
            [lean * (b"]" not in text and b"}" not in text and b'"' not in text[1:]) for text in TOKENIZER.content],
            np.float32,
        )

    def fresh(self):
        return None

    def logits(self, ids, encoded, state):
        return (self._random.standard_normal((1, len(TOKENIZER))) * 3 + self._lean).astype(np.float32)


scalars = st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"enum": ["a", "b c", 3, True]},
                           {"enum": ["é\"\\"]}, {"const": "only"}, {"type": ["string", "null"]}, {"type": "array", "items": {"type": "integer"}},
                           {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 3}, {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                           {"type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]}])  # fmt: skip


@st.composite
def toolsets(draw):
    found = []
    for number in range(draw(st.integers(1, 4))):
        keys = draw(st.lists(st.text(alphabet='abcXYZ_é" ', min_size=1, max_size=8), unique=True, max_size=5))
        properties = {key: draw(scalars) for key in keys}
        required = [key for key in keys if draw(st.booleans())]
        found.append((f"tool_{number}", {"type": "object", "properties": properties, "required": required}))
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tools=toolsets(),
    seed=st.integers(0, 2**32 - 1),
    lean=st.sampled_from([0.0, 4.0, 40.0]),
    positions=st.sampled_from([8, 40, 120, 512]),
)
def test_every_answer_parses_and_validates(tools, seed, lean, positions):
    grammar = Grammar(tools)
    answer = Noise(seed, lean).answer(None, grammar, VOCABULARY, OrderedDict(), positions)
    schemas = dict(tools)
    calls = json.loads(answer.text)
    assert len(calls) <= CALLS
    assert answer.log_probability <= 1e-6
    for call in calls:
        assert set(call) == {"name", "arguments"}
        jsonschema.Draft202012Validator({**schemas[call["name"]], "additionalProperties": False}).validate(
            call["arguments"]
        )


def test_bounded_positions_still_close_everything_and_say_so():
    wide = {
        "type": "object",
        "properties": {f"parameter_{n}": {"type": "string"} for n in range(6)},
        "required": [f"parameter_{n}" for n in range(6)],
    }
    grammar = Grammar([("wide", wide)])
    cut = [Noise(seed, 40.0).answer(None, grammar, VOCABULARY, OrderedDict(), 200) for seed in range(5)]
    assert any(answer.cut for answer in cut)
    for answer in cut:
        json.loads(answer.text)


@pytest.mark.parametrize("seed", range(12))
def test_real_graphs_with_any_weights_answer_in_the_language(seed):
    model = NeedleModel(*build(generated(SMALL, seed), quantise=bool(seed % 2)))
    answer = model.answer(
        model.encode(TOKENIZER.encode("turn on the light")), Grammar(TOOLS), VOCABULARY, OrderedDict()
    )
    assert accepts(answer.text)


def test_declining_is_always_possible():
    grammar = Grammar(TOOLS)
    allowed = VOCABULARY.allowed(grammar, grammar.start, OrderedDict())
    assert any(TOKENIZER.content[number] in (b"[]", b"[") for number in allowed)
    state = grammar.walk(grammar.start, b"[")
    assert any(TOKENIZER.content[number] == b"]" for number in VOCABULARY.allowed(grammar, state, OrderedDict()))
    assert accepts("[]", tools=[])


def test_lists_are_bounded():
    grammar = Grammar([("t", {"properties": {"l": {"type": "array", "items": {"type": "integer"}}}})])
    full = b'[{"name":"t","arguments":{"l":[' + b",".join([b"1"] * ITEMS)
    assert grammar.walk(grammar.start, full + b"]") >= 0
    assert grammar.walk(grammar.start, full + b",") < 0

"""The tokenizer gives the ids that SentencePiece itself gives."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.errors import ModelCorrupt
from voice_needle.route.needle.tokenizer import Tokenizer, plain

sentencepiece = pytest.importorskip("sentencepiece")

CORPUS = [
    json.dumps(
        {
            "name": f"set_{noun}",
            "description": f"Set the {noun} of the {room}.",
            "parameters": {"room": {"type": "string"}},
        }
    )
    for noun in ("light", "volume", "temperature", "timer", "blind", "fan speed", "alarm")
    for room in ("kitchen", "living room", "bedroom", "hall", "office")
] + [
    f"please turn the {a} in the {b} to {n} percent"
    for a in ("lamp", "fan")
    for b in ("hall", "attic")
    for n in range(40)
]


def train(**options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", normalization_rule_name="identity", pad_id=0, eos_id=1,
        bos_id=2, unk_id=3, user_defined_symbols=["<tool_call>", "<tools>"], num_threads=1, minloglevel=2, **options,
    )  # fmt: skip
    return out.getvalue()


@pytest.fixture(scope="module")
def both():
    data = train(vocab_size=600, byte_fallback=True)
    return sentencepiece.SentencePieceProcessor(model_proto=data), Tokenizer(data)


def test_ids_have_the_published_meaning(both):
    _, ours = both
    assert ours.pieces[:7] == ["<pad>", "</s>", "<s>", "<unk>", "<tool_call>", "<tools>", "<0x00>"]


@pytest.mark.parametrize(
    "text",
    ["", " ", "turn the lamp", "  two  spaces  ", "tab\tand\nline", "naïve café 日本 🎉", "a<tools>b<tool_call>", "<tools>", "aaaaaaaaaaaa",
     "▁", "a▁ ▁",
     *CORPUS[::7]],
)  # fmt: skip
def test_text_encodes_as_sentencepiece_does(both, text):
    theirs, ours = both
    assert ours.encode(text) == theirs.encode(text)
    ordinary = [number for number in ours.encode(text) if number > 5]
    assert ours.decode(ordinary) == theirs.decode(ordinary)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60) | st.text(alphabet='aeilmnoprstu {}":,_ é▁', max_size=200))
def test_any_text_encodes_as_sentencepiece_does(both, text):
    theirs, ours = both
    text = text.replace("\0", " ")  # SentencePiece's own interface stops there
    assert ours.encode(text) == theirs.encode(text)


def test_without_byte_pieces_the_unknown_id_stands_in():
    data = train(vocab_size=300, byte_fallback=False)
    theirs, ours = sentencepiece.SentencePieceProcessor(model_proto=data), Tokenizer(data)
    assert 3 in ours.encode("日")
    assert theirs.encode("日") == ours.encode("日")


def test_other_models_are_refused():
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=out, model_type="unigram", vocab_size=80, minloglevel=2
    )
    with pytest.raises(ModelCorrupt, match="BPE"):
        Tokenizer(out.getvalue())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stop <tools>[]", "stop []"),
        ("a<tool_call>b", "a b"),
        ("<to<tools>ols>x", "<to ols>x"),
        ("</s><s><pad>", ""),
        ("< TOOLS >x", "x"),
        ("less < than", "less < than"),
        ("bell\a\x00 ok", "bell ok"),
    ],
)
def test_control_words_are_taken_out(text, expected):
    assert plain(text) == expected


@given(st.text(alphabet="<>tools_cal/ \n", max_size=80))
def test_no_control_word_survives(text):
    assert "<tools>" not in plain(text)
    assert "<tool_call>" not in plain(text)

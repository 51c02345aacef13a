"""The graphs compute what the equations say: against plain numpy that shares nothing with them."""

import numpy as np
import onnx
import pytest
from needle_parts import SMALL
from needle_reference import Reference

from voice_needle.route.needle.checkpoint import Checkpoint, Shape, generated
from voice_needle.route.needle.decoder import NeedleModel
from voice_needle.route.needle.model_onnx import build


def compare(shape, quantise, length, steps):
    """(encoder max abs difference, logits max abs difference, share of equal argmax, cached against whole)."""
    checkpoint = generated(shape, seed=3)
    random = np.random.default_rng(4)
    ids = random.integers(6, shape.vocabulary, length)
    said = np.array([1, 4, *random.integers(6, shape.vocabulary, steps)])
    reference = Reference(checkpoint.tensors, shape)
    encoded = reference.encode(ids)
    logits = reference.decode(said, encoded)
    model = NeedleModel(*build(checkpoint, quantise=quantise))
    ours = model.encode(ids.tolist())
    whole = model.logits(said.tolist(), ours, model.fresh())
    state = model.fresh()
    cached = np.concatenate([model.logits([int(each)], ours, state) for each in said])
    return (
        np.abs(ours.encoded - encoded).max(),
        np.abs(whole - logits).max(),
        (whole.argmax(1) == logits.argmax(1)).mean(),
        np.abs(cached - whole).max(),
    )


def test_the_released_sizes_have_the_published_number_of_parameters():
    assert Shape().parameters == 26_315_421
    assert sum(value.size for value in generated(SMALL).tensors.values()) == SMALL.parameters


def test_float_graphs_equal_the_equations():
    encoder, logits, same, cached = compare(SMALL, False, length=37, steps=12)
    assert encoder < 1e-5
    assert logits < 2e-5
    assert same == 1.0
    assert cached < 1e-5


def test_int8_graphs_are_close():
    encoder, logits, same, cached = compare(SMALL, True, length=37, steps=12)
    assert encoder < 0.15
    assert logits < 0.25
    assert same >= 0.9
    assert cached < 0.25


def test_one_query_head_a_kv_head_works_too():
    encoder, logits, *_ = compare(
        Shape(width=32, heads=2, kv_heads=2, encoder_layers=1, decoder_layers=1, vocabulary=300), False, 9, 3
    )
    assert max(encoder, logits) < 1e-5


@pytest.mark.slow
def test_the_full_model_equals_the_equations():
    encoder, logits, same, cached = compare(Shape(), False, length=48, steps=10)
    assert encoder < 1e-4
    assert logits < 1e-4
    assert same == 1.0
    assert cached < 1e-4


@pytest.mark.slow
def test_the_full_model_in_int8_is_close_and_small():
    encoder, logits, same, _ = compare(Shape(), True, length=48, steps=10)
    assert encoder < 0.5
    assert logits < 0.8
    assert same >= 0.9
    sizes = [len(part) / 1e6 for part in build(generated(), quantise=True)]
    assert sum(sizes) < 40


@pytest.mark.parametrize("quantise", [False, True])
def test_graphs_are_valid_onnx(quantise):
    for part in build(generated(SMALL), quantise=quantise):
        onnx.checker.check_model(onnx.load_from_string(part), full_check=True)


def broken(tensors, name, change):
    return {**tensors, name: change(tensors[name])}


@pytest.mark.parametrize(
    "name",
    [
        "encoder/layers/EncoderBlock_0/attn_gate",
        "encoder/layers/EncoderBlock_0/self_attn/q_norm/scale",
        "encoder/layers/EncoderBlock_0/self_attn/k_norm/scale",
        "decoder/layers/DecoderBlock_0/cross_attn/q_norm/scale",
        "decoder/layers/DecoderBlock_0/cross_attn/k_norm/scale",
        "decoder/layers/DecoderBlock_0/cross_attn_gate",
        "decoder/layers/DecoderBlock_0/ZCRMSNorm_1/scale",
        "decoder/layers/DecoderBlock_0/self_attn/v_proj/kernel",
    ],
)
def test_every_kind_of_weight_reaches_the_logits(name):
    """The comparison above could not notice a weight that neither side uses."""
    checkpoint = generated(SMALL, seed=3)
    changed = Checkpoint(broken(checkpoint.tensors, name, lambda value: value + 0.5), SMALL, "changed")
    rows = []
    for each in (checkpoint, changed):
        model = NeedleModel(*build(each, quantise=False))
        rows.append(model.logits([1, 4, 77], model.encode([9, 8, 7, 6]), model.fresh()))
    assert np.abs(rows[0] - rows[1]).max() > 1e-3


def test_the_cost_of_a_request_counts_its_prompt_and_its_answer():
    from voice_needle.route.needle.bench import NeedleGraph
    from voice_needle.tools import Toolset

    graph = NeedleGraph()
    assert graph.size_bytes < 40e6
    tools = [{"name": f"tool_{n}", "description": "Does something useful in a room of the house."} for n in range(80)]
    few, many = (
        graph.cost("turn it on", Toolset(tools[:count]), [{"name": "tool_1", "arguments": {}}]) for count in (4, 80)
    )
    assert few.prompt_ids < many.prompt_ids == 1024
    assert few.steps == many.steps == 8  # 36 characters of JSON
    assert few.encoder_ms > 0 < few.decoder_ms
    assert few.total_ms == few.encoder_ms + few.decoder_ms

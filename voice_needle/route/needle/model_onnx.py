"""Needle v1 as two ONNX graphs, written from numpy arrays: no torch, no jax, no onnx library.

    encoder   ids (t) int64 -> encoded (t, width), cross_k, cross_v (layers, kv_heads, t, head)
    decoder   ids (s) int64, positions (s) int64, mask (s, p + s), cross_k, cross_v, past_k, past_v (layers, kv_heads, p, head)
              -> logits (s, vocabulary), new_k, new_v (layers, kv_heads, p + s, head)

One utterance at a time, so nothing is padded. The decoder takes one id or several; `mask` is added to the scores (0 or a large negative
number). Gates are folded into the output projections, sqrt(width) into the embedding's scale, 1/sqrt(head) into the query norm.
int8: weights per output column, activations per call (DynamicQuantizeLinear, MatMulInteger), the embedding per row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from voice_needle.route.needle import wire
from voice_needle.route.needle.checkpoint import Checkpoint, Floats, Shape

EPSILON = 1e-6
_OPSET, _IR = 13, 8
_FLOAT, _UINT8, _INT8, _INT64 = 1, 2, 3, 7  # onnx.proto: TensorProto.DataType
_TYPES = {"float32": _FLOAT, "uint8": _UINT8, "int8": _INT8, "int64": _INT64}
_A_FLOAT, _A_INT, _A_INTS = 1, 2, 7  # AttributeProto.AttributeType


@dataclass
class Graph:
    """An ONNX graph under construction; every method adds a node and answers its output's name."""

    name: str
    _nodes: list[bytes] = field(default_factory=list)
    _constants: dict[str, bytes] = field(default_factory=dict)
    _count: int = 0

    def constant(self, value: npt.ArrayLike, dtype: type = np.float32, name: str = "") -> str:
        """A tensor of the graph; equal small ones are shared."""
        array: npt.NDArray[Any] = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        raw = array.tobytes()
        name = name or (f"c_{array.dtype}_{array.shape}_{raw.hex()}" if array.size <= 8 else f"w{len(self._constants)}")
        if name not in self._constants:
            dims = b"".join(wire.number(1, size) for size in array.shape)
            kind = wire.number(2, _TYPES[str(array.dtype)])
            self._constants[name] = dims + kind + wire.chunk(8, name) + wire.chunk(9, raw)
        return name

    def node(
        self,
        kind: str,
        *inputs: str,
        outputs: int = 1,
        named: Sequence[str] = (),
        **attributes: int | float | list[int],
    ) -> str:
        """One operator; the name of its first output (the others end in _1, _2)."""
        self._count += 1
        names = list(named) or [f"{kind}{self._count}" + (f"_{n}" if n else "") for n in range(outputs)]
        body = b"".join(wire.chunk(1, each) for each in inputs) + b"".join(wire.chunk(2, each) for each in names)
        body += wire.chunk(3, f"{kind}{self._count}") + wire.chunk(4, kind)
        for key, value in attributes.items():
            if isinstance(value, list):
                told = b"".join(wire.number(8, each) for each in value) + wire.number(20, _A_INTS)
            elif isinstance(value, float):
                told = wire.real(2, value) + wire.number(20, _A_FLOAT)
            else:
                told = wire.number(3, value) + wire.number(20, _A_INT)
            body += wire.chunk(5, wire.chunk(1, key) + told)
        self._nodes.append(body)
        return names[0]

    def cast(self, value: str) -> str:
        return self.node("Cast", value, to=_FLOAT)

    def reshape(self, value: str, *sizes: int) -> str:
        return self.node("Reshape", value, self.constant(list(sizes), np.int64))

    def heads(self, value: str, heads: int, head: int) -> str:
        """(t, heads * head) -> (heads, t, head)."""
        return self.node("Transpose", self.reshape(value, -1, heads, head), perm=[1, 0, 2])

    def norm(self, value: str, scale: Floats, factor: float = 1.0) -> str:
        """Zero-centred RMS norm over the last axis: (1 + scale) * x / sqrt(mean(x^2) + 1e-6), times `factor`."""
        square = self.node("ReduceMean", self.node("Mul", value, value), axes=[-1], keepdims=1)
        root = self.node("Sqrt", self.node("Add", square, self.constant(np.float32(EPSILON))))
        return self.node("Mul", self.node("Div", value, root), self.constant((1.0 + scale) * factor))

    def rotate(self, value: str, cosine: str, sine: str, head: int) -> str:
        """RoPE on (heads, t, head): the first half of a head turns with the second (Su et al., 2021; half-split)."""
        first = self.node("Slice", value, *(self.constant([n], np.int64) for n in (0, head // 2, -1)))
        second = self.node("Slice", value, *(self.constant([n], np.int64) for n in (head // 2, head, -1)))
        turned = self.node("Concat", self.node("Neg", second), first, axis=-1)
        return self.node("Add", self.node("Mul", value, cosine), self.node("Mul", turned, sine))

    def model(
        self, inputs: Sequence[tuple[str, int, Sequence[int | str]]], outputs: Sequence[tuple[str, Sequence[int | str]]]
    ) -> bytes:
        """The serialised ModelProto. inputs: (name, type, dimensions); outputs are float."""
        graph = b"".join(wire.chunk(1, each) for each in self._nodes) + wire.chunk(2, self.name)
        graph += b"".join(wire.chunk(5, each) for each in self._constants.values())
        graph += b"".join(wire.chunk(11, _value(*each)) for each in inputs)
        graph += b"".join(wire.chunk(12, _value(name, _FLOAT, sizes)) for name, sizes in outputs)
        opset = wire.chunk(1, "") + wire.number(2, _OPSET)
        return wire.number(1, _IR) + wire.chunk(2, "voice-needle") + wire.chunk(7, graph) + wire.chunk(8, opset)


def _value(name: str, kind: int, sizes: Sequence[int | str]) -> bytes:
    dims = b"".join(
        wire.chunk(1, wire.chunk(2, size) if isinstance(size, str) else wire.number(1, size)) for size in sizes
    )
    return wire.chunk(1, name) + wire.chunk(2, wire.chunk(1, wire.number(1, kind) + wire.chunk(2, dims)))


class Builder:
    """Both graphs of one checkpoint. quantise: int8."""

    def __init__(self, checkpoint: Checkpoint, *, quantise: bool) -> None:
        self.shape: Shape = checkpoint.shape
        self._tensors = checkpoint.tensors
        self._quantise = quantise

    def encoder(self) -> bytes:
        """The encoder with the decoder's cross-attention keys and values."""
        shape, graph = self.shape, Graph("needle_encoder")
        x = self._embedded(graph, "ids")
        positions = graph.node(
            "Range",
            graph.constant(np.int64(0), np.int64),
            graph.node("Squeeze", graph.node("Shape", "ids")),
            graph.constant(np.int64(1), np.int64),
        )
        cosine, sine = self._turns(graph, positions, shape.encoder_positions)
        for layer in range(shape.encoder_layers):
            prefix = "encoder/layers/EncoderBlock_0"
            normed = graph.norm(x, self._layer(f"{prefix}/ZCRMSNorm_0/scale", layer))
            query, key, value = self._qkv(graph, f"{prefix}/self_attn", layer, normed, normed)
            query, key = (graph.rotate(each, cosine, sine, shape.head) for each in (query, key))
            x = self._attended(graph, x, query, key, value, prefix, "self_attn", "attn_gate", layer)
        encoded = graph.norm(x, self._tensors["encoder/final_norm/scale"])
        graph.node("Identity", encoded, named=["encoded"])
        keys, values = [], []
        for layer in range(shape.decoder_layers):
            _, key, value = self._qkv(graph, "decoder/layers/DecoderBlock_0/cross_attn", layer, "", encoded)
            keys.append(graph.node("Unsqueeze", key, graph.constant([0], np.int64)))
            values.append(graph.node("Unsqueeze", value, graph.constant([0], np.int64)))
        graph.node("Concat", *keys, axis=0, named=["cross_k"])
        graph.node("Concat", *values, axis=0, named=["cross_v"])
        cache = (shape.decoder_layers, shape.kv_heads, "t", shape.head)
        return graph.model(
            [("ids", _INT64, ("t",))], [("encoded", ("t", shape.width)), ("cross_k", cache), ("cross_v", cache)]
        )

    def decoder(self) -> bytes:
        """Some ids further, with all the state that earlier ids left."""
        shape, graph = self.shape, Graph("needle_decoder")
        prefix = "decoder/layers/DecoderBlock_0"
        x = self._embedded(graph, "ids")
        cosine, sine = self._turns(graph, "positions", shape.decoder_positions)
        new_keys, new_values = [], []
        for layer in range(shape.decoder_layers):
            at = graph.constant(np.int64(layer), np.int64)
            past_key, past_value, cross_key, cross_value = (
                graph.node("Gather", name, at, axis=0) for name in ("past_k", "past_v", "cross_k", "cross_v")
            )
            normed = graph.norm(x, self._layer(f"{prefix}/ZCRMSNorm_0/scale", layer))
            query, key, value = self._qkv(graph, f"{prefix}/self_attn", layer, normed, normed)
            query, key = (graph.rotate(each, cosine, sine, shape.head) for each in (query, key))
            key, value = graph.node("Concat", past_key, key, axis=1), graph.node("Concat", past_value, value, axis=1)
            new_keys.append(graph.node("Unsqueeze", key, graph.constant([0], np.int64)))
            new_values.append(graph.node("Unsqueeze", value, graph.constant([0], np.int64)))
            x = self._attended(graph, x, query, key, value, prefix, "self_attn", "self_attn_gate", layer, mask="mask")
            normed = graph.norm(x, self._layer(f"{prefix}/ZCRMSNorm_1/scale", layer))
            query, _, _ = self._qkv(graph, f"{prefix}/cross_attn", layer, normed, "")
            x = self._attended(graph, x, query, cross_key, cross_value, prefix, "cross_attn", "cross_attn_gate", layer)
        graph.node("Concat", *new_keys, axis=0, named=["new_k"])
        graph.node("Concat", *new_values, axis=0, named=["new_v"])
        final = graph.norm(x, self._tensors["decoder/ZCRMSNorm_0/scale"])
        graph.node("Identity", self._matmul(graph, final, self._tensors["embedding/embedding"].T), named=["logits"])

        def cache(length: str) -> tuple[int | str, ...]:
            return (shape.decoder_layers, shape.kv_heads, length, shape.head)

        inputs: list[tuple[str, int, Sequence[int | str]]] = [
            ("ids", _INT64, ("s",)),
            ("positions", _INT64, ("s",)),
            ("mask", _FLOAT, ("s", "n")),
        ]
        inputs += [
            (name, _FLOAT, cache(length))
            for name, length in (("cross_k", "t"), ("cross_v", "t"), ("past_k", "p"), ("past_v", "p"))
        ]
        return graph.model(inputs, [("logits", ("s", shape.vocabulary)), ("new_k", cache("n")), ("new_v", cache("n"))])

    # --- parts -------------------------------------------------------------------------------------------------------

    def _layer(self, path: str, layer: int) -> Floats:
        found: Floats = self._tensors[path][layer]
        return found

    def _embedded(self, graph: Graph, ids: str) -> str:
        """Rows of the table times sqrt(width); the logits use the same table unscaled."""
        table, factor = self._tensors["embedding/embedding"], math.sqrt(self.shape.width)
        if not self._quantise:
            held = graph.constant(table, name="embedding")
            return graph.node("Mul", graph.node("Gather", held, ids, axis=0), graph.constant(np.float32(factor)))
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-8) / 127
        whole = graph.constant(np.rint(table / scale), np.int8, name="embedding")
        rows = graph.cast(graph.node("Gather", whole, ids, axis=0))
        return graph.node("Mul", rows, graph.node("Gather", graph.constant(scale * factor), ids, axis=0))

    def _matmul(self, graph: Graph, value: str, weight: Floats) -> str:
        """(t, i) @ (i, o), in int8 where wanted."""
        if not self._quantise:
            return graph.node("MatMul", value, graph.constant(weight))
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127
        whole = graph.constant(np.rint(weight / scale), np.int8)
        small = graph.node("DynamicQuantizeLinear", value, outputs=3)
        product = graph.node("MatMulInteger", small, whole, f"{small}_2")
        factor = graph.node("Mul", f"{small}_1", graph.constant(scale))
        return graph.node("Mul", graph.cast(product), factor)

    def _turns(self, graph: Graph, positions: str, length: int) -> tuple[str, str]:
        """Cosine and sine of each position, (t, head), both halves alike."""
        half = self.shape.head // 2
        frequency = self.shape.theta ** (-np.arange(half, dtype=np.float64) / half)
        angle = np.arange(length)[:, None] * frequency[None]
        tables = (np.concatenate([turn(angle)] * 2, axis=1) for turn in (np.cos, np.sin))
        cosine, sine = (graph.node("Gather", graph.constant(table), positions, axis=0) for table in tables)
        return cosine, sine

    def _qkv(self, graph: Graph, prefix: str, layer: int, asking: str, asked: str) -> tuple[str, str, str]:
        """Queries (heads, s, head), keys and values (kv_heads, t, head); "" for what is not asked for. Norms before RoPE."""
        shape, query, key, value = self.shape, "", "", ""
        if asking:
            query = graph.heads(
                self._matmul(graph, asking, self._layer(f"{prefix}/q_proj/kernel", layer)), shape.heads, shape.head
            )
            query = graph.norm(query, self._layer(f"{prefix}/q_norm/scale", layer), 1 / math.sqrt(shape.head))
        if asked:
            key = graph.heads(
                self._matmul(graph, asked, self._layer(f"{prefix}/k_proj/kernel", layer)), shape.kv_heads, shape.head
            )
            key = graph.norm(key, self._layer(f"{prefix}/k_norm/scale", layer))
            value = graph.heads(
                self._matmul(graph, asked, self._layer(f"{prefix}/v_proj/kernel", layer)), shape.kv_heads, shape.head
            )
        return query, key, value

    def _attended(
        self,
        graph: Graph,
        x: str,
        query: str,
        key: str,
        value: str,
        prefix: str,
        part: str,
        gate: str,
        layer: int,
        mask: str = "",
    ) -> str:
        """x + sigmoid(gate) * attention @ out_proj. Key head i serves the query heads of group i, one after another."""
        shape = self.shape
        group = shape.heads // shape.kv_heads
        grouped = graph.reshape(query, shape.kv_heads, group, -1, shape.head)
        key, value = (graph.node("Unsqueeze", each, graph.constant([1], np.int64)) for each in (key, value))
        scores = graph.node("MatMul", grouped, graph.node("Transpose", key, perm=[0, 1, 3, 2]))
        if mask:
            scores = graph.node("Add", scores, mask)
        read = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), value)
        flat = graph.node("Transpose", graph.reshape(read, shape.heads, -1, shape.head), perm=[1, 0, 2])
        opened = 1 / (1 + math.exp(-float(self._layer(f"{prefix}/{gate}", layer))))
        out = self._matmul(
            graph,
            graph.reshape(flat, -1, shape.width),
            self._layer(f"{prefix}/{part}/out_proj/kernel", layer) * np.float32(opened),
        )
        return graph.node("Add", x, out)


def build(checkpoint: Checkpoint, *, quantise: bool = True) -> tuple[bytes, bytes]:
    """(encoder, decoder) as ONNX files: 16 + 19 MB in int8, 63 + 59 MB in float32 for the released sizes."""
    builder = Builder(checkpoint, quantise=quantise)
    return builder.encoder(), builder.decoder()

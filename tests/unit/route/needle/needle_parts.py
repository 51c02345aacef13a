"""Parts for Needle's tests: a small tokenizer, checkpoints in the three published layouts, and a model that wants to say a given text."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np

from voice_needle.route.needle import wire
from voice_needle.route.needle.checkpoint import Shape, generated
from voice_needle.route.needle.decoder import NeedleModel

SMALL = Shape(width=64, heads=4, kv_heads=2, encoder_layers=3, decoder_layers=2, vocabulary=512, contrastive=16)
WORDS = [
    "name",
    "arguments",
    "light",
    "set",
    "kitchen",
    "true",
    "false",
    "room",
    "the",
    "turn",
    "on",
    "off",
    "to",
    "level",
    "note",
    "text",
    "stop",
    "volume",
    "timer",
    "minutes",
]


def tokenizer_model(size=SMALL.vocabulary):
    """A SentencePiece BPE model of `size` pieces: specials, bytes, printable ASCII, and merges that build WORDS and JSON's punctuation."""
    pieces = [
        ("<pad>", 0.0, 3),
        ("</s>", 0.0, 3),
        ("<s>", 0.0, 3),
        ("<unk>", 0.0, 2),
        ("<tool_call>", 0.0, 4),
        ("<tools>", 0.0, 4),
    ]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    merged = []
    for word in [*WORDS, '{"name":"', '","arguments":{', '":"', '":', '"}}]', "[]"]:
        for end in range(2, len(word) + 1):
            merged.append(word[:end])
        if word[0].isalpha():
            merged.append("\u2581" + word)
    merged = list(dict.fromkeys(merged))[: size - len(pieces) - 96]
    pieces += [(piece, -float(rank), 1) for rank, piece in enumerate(merged)]
    characters = ["\u2581", *(chr(code) for code in range(33, 127))]
    pieces += [(char, -1000.0 - rank, 1) for rank, char in enumerate(characters)]
    pieces += [(f"\u2581unused{n}", -5000.0 - n, 1) for n in range(size - len(pieces))]
    data = b"".join(
        wire.chunk(1, wire.chunk(1, piece) + wire.real(2, score) + wire.number(3, kind))
        for piece, score, kind in pieces
    )
    return data + wire.chunk(2, wire.number(3, 2)) + wire.chunk(3, wire.chunk(1, "identity"))


def nested(tensors):
    tree = {}
    for path, value in tensors.items():
        *folders, leaf = path.split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[leaf] = value
    return tree


def write_pickle(path, tensors, dtype=np.float16, **more):
    tree = nested({name: np.asarray(value).astype(dtype) for name, value in tensors.items()})
    path.write_bytes(pickle.dumps({"params": tree, "config": {"d_model": 64}, **more}))


def write_safetensors(path, tensors, dtype="F32"):
    header, body = {}, b""
    for name, value in tensors.items():
        array = np.ascontiguousarray(value, np.float32)
        raw = (array.view(np.uint32) >> 16).astype(np.uint16).tobytes() if dtype == "BF16" else array.tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(np.shape(value)),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)


def as_hugging_face(tensors, shape):
    """The same numbers under Hugging Face's names: a tensor a layer, kernels (out, in), gates of size 1, the table twice."""
    out = {
        "model.embed_tokens.weight": tensors["embedding/embedding"],
        "lm_head.weight": tensors["embedding/embedding"],
        "model.encoder.final_norm.weight": tensors["encoder/final_norm/scale"],
        "model.decoder.norm.weight": tensors["decoder/ZCRMSNorm_0/scale"],
    }
    for side, layers, block in (
        ("encoder", shape.encoder_layers, "EncoderBlock_0"),
        ("decoder", shape.decoder_layers, "DecoderBlock_0"),
    ):
        names = {"ZCRMSNorm_0/scale": "input_layernorm.weight", "ZCRMSNorm_1/scale": "encoder_attn_layer_norm.weight"}
        for path, value in tensors.items():
            start = f"{side}/layers/{block}/"
            if not path.startswith(start):
                continue
            rest = path.removeprefix(start)
            for layer in range(layers):
                key = names.get(rest)
                row = value[layer]
                if rest.endswith("gate"):
                    key, row = rest, row.reshape(1)
                elif key is None:
                    part, name, kind = rest.split("/")
                    key = f"{'encoder_attn' if part == 'cross_attn' else part}.{name}.weight"
                    row = row.T if kind == "kernel" else row
                out[f"model.{side}.layers.{layer}.{key}"] = row
    return out


def folder_of_needle(folder, seed=0, shape=SMALL):
    """A folder with needle.pkl and tokenizer.model of generated weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pickle(folder / "needle.pkl", generated(shape, seed).tensors)
    (folder / "tokenizer.model").write_bytes(tokenizer_model(shape.vocabulary))
    return folder


class Wants(NeedleModel):
    """A model whose likeliest next id always spells `text` further, as far as it is let. Where it is not let, it prefers low ids."""

    def __init__(self, text, tokenizer, sure=20.0):
        self.text, self.tokenizer, self.sure = text.encode(), tokenizer, sure
        self.prompts = []

    def encode(self, ids):
        self.prompts.append(list(ids))
        return

    def fresh(self):
        return bytearray()

    def logits(self, ids, encoded, state):
        for number in ids:
            state += self.tokenizer.content[number]
        rows = np.zeros((1, len(self.tokenizer)), np.float32)
        rest = self.text[len(state) :] if self.text.startswith(bytes(state)) else b""
        rows[0] = -np.arange(len(self.tokenizer)) / 1000
        fitting = [
            number for number, content in enumerate(self.tokenizer.content) if content and rest.startswith(content)
        ]
        if fitting:
            rows[0, max(fitting, key=lambda number: len(self.tokenizer.content[number]))] = self.sure
        return rows

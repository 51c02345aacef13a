"""The published weights of Needle v1, read without torch, jax or trusting a pickle, into one flat dictionary of float32 arrays.

Three layouts hold the same numbers: `needle.pkl` (a pickle of {"params": nested dict, "config": dict}, float16, layers stacked on the
first axis, kernels (in, out)); the same tree as safetensors; and Hugging Face's `model.safetensors` (bfloat16, one tensor a layer,
kernels (out, in)). All become the first layout, with paths joined by "/". The contrastive head, which the release does not train, may be
missing. (github.com/cactus-compute/needle at ffb1c51)
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voice_needle.errors import ModelCorrupt, ModelMissing

Floats = npt.NDArray[np.float32]
FIX = "copy needle.pkl or model.safetensors, and tokenizer.model, of Cactus-Compute/needle beside each other; then set route.needle_checkpoint"
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_ATTENTION = (("q_proj", "kernel"), ("k_proj", "kernel"), ("v_proj", "kernel"), ("out_proj", "kernel"), ("q_norm", "scale"), ("k_norm", "scale"))  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The sizes of a Needle; the defaults are the released model's."""

    width: int = 512
    heads: int = 8
    kv_heads: int = 4
    encoder_layers: int = 12
    decoder_layers: int = 8
    vocabulary: int = 8192
    contrastive: int = 128
    theta: float = 10_000.0
    encoder_positions: int = 1024
    decoder_positions: int = 512

    @property
    def head(self) -> int:
        return self.width // self.heads

    def tensors(self, *, contrastive: bool = True) -> dict[str, tuple[int, ...]]:
        """Path -> shape of every tensor."""
        width, kv = self.width, self.kv_heads * self.head

        def attention(prefix: str, layers: int) -> dict[str, tuple[int, ...]]:
            sizes = {"q_proj": (width, width), "k_proj": (width, kv), "v_proj": (width, kv), "out_proj": (width, width)}
            found: dict[str, tuple[int, ...]] = {
                f"{prefix}/{name}/kernel": (layers, *size) for name, size in sizes.items()
            }
            return {**found, **{f"{prefix}/{name}/scale": (layers, self.head) for name in ("q_norm", "k_norm")}}

        encoder, decoder = "encoder/layers/EncoderBlock_0", "decoder/layers/DecoderBlock_0"
        found: dict[str, tuple[int, ...]] = {
            "embedding/embedding": (self.vocabulary, width),
            "encoder/final_norm/scale": (width,),
            f"{encoder}/ZCRMSNorm_0/scale": (self.encoder_layers, width),
            f"{encoder}/attn_gate": (self.encoder_layers,),
            **attention(f"{encoder}/self_attn", self.encoder_layers),
            "decoder/ZCRMSNorm_0/scale": (width,),
            f"{decoder}/ZCRMSNorm_0/scale": (self.decoder_layers, width),
            f"{decoder}/ZCRMSNorm_1/scale": (self.decoder_layers, width),
            f"{decoder}/self_attn_gate": (self.decoder_layers,),
            f"{decoder}/cross_attn_gate": (self.decoder_layers,),
            **attention(f"{decoder}/self_attn", self.decoder_layers),
            **attention(f"{decoder}/cross_attn", self.decoder_layers),
        }
        if contrastive:
            found["contrastive_hidden/kernel"] = (width, self.contrastive)
            found["contrastive_hidden/bias"] = (self.contrastive,)
            found["contrastive_proj/kernel"] = (self.contrastive, self.contrastive)
            found["log_temp"] = ()
        return found

    @property
    def parameters(self) -> int:
        """How many numbers the whole model has: 26,315,421 for the released sizes."""
        return sum(math.prod(size) for size in self.tensors().values())


@dataclass(frozen=True)
class Checkpoint:
    """Weights and sizes. identity: SHA-256 of the file, the key under which converted graphs are kept."""

    tensors: Mapping[str, Floats]
    shape: Shape
    identity: str


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a .pkl or .safetensors file. Errors: ModelMissing, ModelCorrupt (damaged, hostile, or another model)."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise ModelMissing(f"The Needle checkpoint {path} cannot be read: {problem.strerror}.", fix=FIX) from problem
    try:
        tree, config = _from_safetensors(data) if path.suffix == ".safetensors" else _from_pickle(data)
        tensors = {name: np.asarray(value, np.float32, order="C") for name, value in _canonical(tree).items()}
        shape = _shape_of(tensors, config)
    except (pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError,
            ImportError, struct.error) as problem:  # fmt: skip
        raise ModelCorrupt(f"{path} is no Needle v1 checkpoint: {problem}", fix=FIX) from problem
    return Checkpoint(tensors, shape, hashlib.sha256(data).hexdigest())


# --- pickle ----------------------------------------------------------------------------------------------------------


class NumpyUnpickler(pickle.Unpickler):
    """Admits plain containers and numpy arrays, and nothing that could run: a pickle is a program."""

    _ALLOWED = frozenset(
        [(f"numpy.{core}.{module}", name) for core in ("core", "_core")
         for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))]
        + [("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict"), ("_codecs", "encode")]
    )  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """Errors: UnpicklingError for everything but numpy's own array constructors."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")
        if module == "_codecs":
            return _latin1_bytes
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    """What protocol 2 calls to spell bytes; other codecs may do more than spell."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec {encoding}")
    return text.encode("latin1")


def _from_pickle(data: bytes) -> tuple[dict[str, Any], Mapping[str, Any]]:
    found = NumpyUnpickler(io.BytesIO(data)).load()
    if not isinstance(found, dict) or not isinstance(found.get("params"), Mapping):
        raise ValueError('no "params" in it')
    if "format_version" in found:
        raise ValueError("it is a checkpoint of a later generation; those run in the vendor's own package")
    config = found.get("config")
    return dict(_flattened(found["params"])), config if isinstance(config, Mapping) else {}


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}/")
            continue
        array = np.asarray(value)
        if array.dtype.kind != "f":
            raise ValueError(f"{prefix}{name} holds {array.dtype}, not numbers of a network")
        yield f"{prefix}{name}", array


# --- safetensors -----------------------------------------------------------------------------------------------------


def _from_safetensors(data: bytes) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """github.com/huggingface/safetensors: u64 header size, JSON header, raw little-endian tensors."""
    (size,) = struct.unpack_from("<Q", data)
    if size > min(len(data) - 8, 1 << 26):
        raise ValueError("cut short")
    header = json.loads(data[8 : 8 + size])
    body = memoryview(data)[8 + size :]
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        if not 0 <= start <= end <= len(body) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} is cut short")
        array = np.frombuffer(body[start:end], dtype).reshape(shape)
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        found[name] = array
    return found, {}


def _canonical(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Hugging Face's names and layout, or dots for slashes, as the first layout."""
    if "model.embed_tokens.weight" not in tree:
        return {name.replace(".", "/").removeprefix("params/"): value for name, value in tree.items()}
    out: dict[str, Any] = {
        "embedding/embedding": tree["model.embed_tokens.weight"],
        "encoder/final_norm/scale": tree["model.encoder.final_norm.weight"],
        "decoder/ZCRMSNorm_0/scale": tree["model.decoder.norm.weight"],
    }
    for side, block, parts in (
        ("encoder", "EncoderBlock_0", {"input_layernorm.weight": "ZCRMSNorm_0/scale", "attn_gate": "attn_gate"}),
        ("decoder", "DecoderBlock_0", {"input_layernorm.weight": "ZCRMSNorm_0/scale", "self_attn_gate": "self_attn_gate",
                                       "encoder_attn_layer_norm.weight": "ZCRMSNorm_1/scale", "cross_attn_gate": "cross_attn_gate"}),
    ):  # fmt: skip
        attentions = (
            {"self_attn": "self_attn"}
            if side == "encoder"
            else {"self_attn": "self_attn", "encoder_attn": "cross_attn"}
        )
        for theirs, ours in attentions.items():
            parts |= {f"{theirs}.{part}.weight": f"{ours}/{part}/{kind}" for part, kind in _ATTENTION}
        marks = (re.match(rf"model\.{side}\.layers\.(\d+)\.", name) for name in tree)
        layers = 1 + max(int(mark[1]) for mark in marks if mark)
        for theirs, ours in parts.items():
            rows = [np.asarray(tree[f"model.{side}.layers.{layer}.{theirs}"]) for layer in range(layers)]
            if ours.endswith("kernel"):
                rows = [row.T for row in rows]
            elif ours.endswith("gate"):
                rows = [row.reshape(()) for row in rows]
            out[f"{side}/layers/{block}/{ours}"] = np.stack(rows)
    return out


def _shape_of(tensors: Mapping[str, Floats], config: Mapping[str, Any]) -> Shape:
    """The sizes, read from the tensors; every tensor must fit them. Errors: ValueError, KeyError."""
    vocabulary, width = tensors["embedding/embedding"].shape
    encoder, decoder = "encoder/layers/EncoderBlock_0", "decoder/layers/DecoderBlock_0"
    layers, head = tensors[f"{encoder}/self_attn/q_norm/scale"].shape
    shape = Shape(
        width=width,
        heads=width // head,
        kv_heads=tensors[f"{encoder}/self_attn/k_proj/kernel"].shape[2] // head,
        encoder_layers=layers,
        decoder_layers=tensors[f"{decoder}/self_attn_gate"].shape[0],
        vocabulary=vocabulary,
        contrastive=tensors["contrastive_proj/kernel"].shape[0] if "contrastive_proj/kernel" in tensors else 128,
        theta=float(config.get("rope_theta", 10_000.0)),
    )
    wanted = shape.tensors(contrastive="contrastive_proj/kernel" in tensors)
    for name, size in wanted.items():
        if tensors[name].shape != size:
            raise ValueError(f"{name} is {tensors[name].shape}, not {size}")
        if not np.isfinite(tensors[name]).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    extra = set(tensors) - set(wanted)
    if extra:
        raise ValueError(f"unknown tensor {min(extra)}: it is another model")
    return shape


def generated(shape: Shape = Shape(), seed: int = 0) -> Checkpoint:
    """Weights from a seed, scaled as an untrained network's: for tests and for measuring speed. They say nothing sensible."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, size in shape.tensors().items():
        fan_in = shape.width if name.startswith("embedding") else size[-2] if name.endswith("kernel") else 11
        spread = np.float32(1 / math.sqrt(fan_in))
        tensors[name] = np.asarray(random.standard_normal(size, dtype=np.float32) * spread, np.float32)
    return Checkpoint(tensors, shape, f"generated-{seed}-{hashlib.sha256(repr(shape).encode()).hexdigest()[:16]}")

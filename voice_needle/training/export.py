"""Writes a trained Stitch as the device reads it: five int8 ONNX graphs, four-bit word embeddings, the vocabulary."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voice_needle.route.stitch.encoder.network import FORMAT
from voice_needle.route.stitch.encoder.round4 import pack
from voice_needle.route.stitch.encoder.slots import SIZE
from voice_needle.training.layers import WIDTH
from voice_needle.training.model import Stitch, pooled
from voice_needle.training.restore import locate

_PARTS = ("trunk", "tower", "schema", "select", "fill")


class _Tower(nn.Module):
    def __init__(self, model: Stitch) -> None:
        super().__init__()
        self.tower, self.select = model.tower, model.select

    def forward(self, low: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        words = self.tower(low, mask)
        aimed = self.select.rough_words(words)
        return words, F.normalize(aimed, dim=-1), pooled(aimed, mask), F.normalize(self.select.evidence.late_word(words), dim=-1)


class _Schema(nn.Module):
    def __init__(self, model: Stitch) -> None:
        super().__init__()
        self.tower, self.select = model.schema_tower, model.select

    def forward(self, low: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        words = self.tower(low, mask)
        vectors = pooled(words, mask)
        slots = self.select.evidence.project(torch.cat([vectors[:, None], F.normalize(words, dim=-1)], dim=1))
        return vectors, F.normalize(self.select.rough_tool(vectors[None])[0], dim=-1), slots[:, 0], slots[:, 1:]


class _Select(nn.Module):
    def __init__(self, model: Stitch) -> None:
        super().__init__()
        self.select = model.select

    def forward(
        self, words: Tensor, tools: Tensor, parameters: Tensor, rough: Tensor, slots: Tensor, kinds: Tensor, said: Tensor
    ) -> tuple[Tensor, ...]:  # fmt: skip
        mask, offered = torch.ones_like(words[:, :, 0]), torch.ones_like(tools[:, :, 0])
        return self.select.fine(words, mask, tools, parameters, offered, rough, (slots, kinds, said))


class _Fill(nn.Module):
    def __init__(self, model: Stitch) -> None:
        super().__init__()
        self.fill = model.fill

    def forward(
        self, words: Tensor, place: Tensor, tool: Tensor, parameters: Tensor, kinds: Tensor, required: Tensor,
        parameter_mask: Tensor, hints: Tensor, values: Tensor, owner: Tensor, matches: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        words = words.expand(place.shape[0], -1, -1)
        mask = torch.ones_like(words[:, :, 0])
        return self.fill(words, mask, place, tool, parameters, kinds, required, parameter_mask, hints, values, owner, matches)  # type: ignore[no-any-return]


def _shorten(path: Path) -> None:
    """Give everything inside a graph a short name: the exporter's own take 60 kB a graph."""
    import onnx

    model = onnx.load(str(path))
    kept = {item.name for item in (*model.graph.input, *model.graph.output)}
    short: dict[str, str] = {"": ""}

    def name(old: str) -> str:
        if old in kept:
            return old
        if old not in short:
            ends = [end for end in ("_quantized", "_scale", "_zero_point") if old.endswith(end)]
            base = old.removesuffix(ends[0]) if ends else old
            if base not in short:
                short[base] = f"_{len(short)}"
            short[old] = short[base] + (ends[0] if ends else "")
        return short[old]

    for node in model.graph.node:
        node.name = ""
        node.input[:] = [name(item) for item in node.input]
        node.output[:] = [name(item) for item in node.output]
    for constant in model.graph.initializer:
        constant.name = name(constant.name)
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _inputs() -> dict[str, tuple[dict[str, tuple[Tensor, dict[int, str]]], list[str]]]:
    """Example inputs with their moving axes, and output names, of each graph."""
    d, ones = WIDTH, torch.ones
    pieces = {"low": (torch.randn(2, 9, d), {0: "b", 1: "l"}), "mask": (ones(2, 9), {0: "b", 1: "l"})}
    words = {"words": (torch.randn(1, 9, d), {1: "l"})}
    hints = torch.zeros(2, 4, 9, 2)
    return {
        "trunk": ({"embedded": (torch.randn(2, 9, d), {0: "b", 1: "l"}), "mask": pieces["mask"]}, ["low"]),
        "tower": (pieces, ["words", "pieces", "whole", "late"]),
        "schema": (pieces, ["vectors", "aims", "slot", "slots"]),
        "select": (
            {**words, "tools": (torch.randn(1, 5, d), {1: "k"}), "parameters": (torch.randn(1, 5, d), {1: "k"}),
             "rough": (torch.randn(1, 5), {1: "k"}), "slots": (torch.randn(1, 5, 7, SIZE), {1: "k", 2: "s"}),
             "slot_kinds": (ones(1, 5, 7, dtype=torch.long), {1: "k", 2: "s"}), "said": (ones(1, 5, 7), {1: "k", 2: "s"})},
            ["present", "starts", "servable", "count"],
        ),
        "fill": (
            {**words, "place": (ones(2, 9, dtype=torch.long), {0: "c", 1: "l"}), "tool": (torch.randn(2, d), {0: "c"}),
             "parameters": (torch.randn(2, 4, d), {0: "c", 1: "p"}), "kinds": (ones(2, 4, dtype=torch.long), {0: "c", 1: "p"}),
             "required": (ones(2, 4, dtype=torch.long), {0: "c", 1: "p"}), "parameter_mask": (ones(2, 4), {0: "c", 1: "p"}),
             "hints": (hints, {0: "c", 1: "p", 2: "l"}), "values": (torch.randn(3, 6, d), {0: "e", 1: "v"}),
             "owner": (ones(3, 2, dtype=torch.long), {0: "e"}), "matches": (torch.zeros(3, 6), {0: "e", 1: "v"})},
            ["present", "start", "end", "value"],
        ),
    }  # fmt: skip


def _write_graph(module: nn.Module, inputs: dict[str, tuple[Tensor, dict[int, str]]], outputs: Sequence[str], path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("root").setLevel(logging.ERROR)
        whole, ready = Path(folder) / "float.onnx", Path(folder) / "ready.onnx"
        torch.onnx.export(
            module.eval(), tuple(item for item, _ in inputs.values()), str(whole), input_names=list(inputs),
            output_names=list(outputs), dynamic_axes={name: axes for name, (_, axes) in inputs.items()},
            opset_version=17, dynamo=False,
        )  # fmt: skip
        quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        quantize_dynamic(ready, path, per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})
        _shorten(path)


def _keep(word: str) -> bool:
    """Whether a word-piece goes to the device: not the unused ones, nor those of scripts that no recogniser here writes."""
    return not word.startswith("[unused") and all(ord(sign) < 0x250 or sign in "’‘“”–—…€£°" for sign in word)


def export(model: Stitch, vocabulary: Path, out: Path, about: dict[str, Any] | None = None) -> Path:
    """Write the folder that `VOICE_NEEDLE_STITCH` or the package holds. Calibration and model card are added by others."""
    out.mkdir(parents=True, exist_ok=True)
    model = model.float().eval()
    wrapped: dict[str, nn.Module] = {
        "trunk": model.trunk, "tower": _Tower(model), "schema": _Schema(model), "select": _Select(model), "fill": _Fill(model),
    }  # fmt: skip
    for name, (inputs, outputs) in _inputs().items():
        _write_graph(wrapped[name], inputs, outputs, out / f"{name}.onnx")
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    kept = [number for number, word in enumerate(words) if _keep(word)]
    packed = pack(model.embedding.weight.detach().numpy()[kept])
    trained = {name: item for name, item in model.named_parameters() if item.requires_grad}
    places, folded = locate(trained, out, _PARTS)
    kept_here: dict[str, Any] = {f"folded/{name}": value for name, value in folded.items()}
    evidence = model.select.evidence
    weigh = torch.cat([evidence.weigh.weight[0], evidence.weigh.bias])
    scales = {"rough": model.select.rough_scale, "late": evidence.late_scale, "weigh": weigh}
    kept_here.update({name: value.detach().numpy() for name, value in scales.items()})
    np.savez_compressed(out / "embeddings.npz", codes=packed.codes, scales=packed.scales, **kept_here)
    (out / "vocab.txt").write_text("".join(words[number] + "\n" for number in kept), encoding="utf-8")
    seal(out, about, places)
    return out


def seal(out: Path, about: dict[str, Any] | None = None, places: dict[str, list[Any]] | None = None) -> None:
    """Write model.json: what the folder holds, with a SHA-256 for each file, checked whenever it is loaded."""
    held = json.loads((out / "model.json").read_text()) if (out / "model.json").is_file() else {}
    names = [f"{part}.onnx" for part in _PARTS] + ["embeddings.npz", "vocab.txt"]
    record = {
        "format": FORMAT, "about": {**held.get("about", {}), **(about or {})},
        "weights": held.get("weights", {}) if places is None else places,
        "files": {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names},
    }  # fmt: skip
    (out / "model.json").write_text(json.dumps(record) + "\n")

"""Reads trained weights back out of the int8 graphs, so that anyone can fine-tune what they were given, without the original run.

Export notes where each weight ended up (model.json, "weights"); small ones that the exporter folded away are kept beside the word
embeddings. Rounding to int8 costs a fine-tuning run nothing that its first steps do not win back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voice_needle.errors import ModelCorrupt

SMALL = 4096  # numbers; a weight of at most so many may be kept beside the embeddings
Array = NDArray[Any]


def initializers(path: Path) -> dict[str, Array]:
    """Every constant of a graph as floats, int8 ones multiplied by their scales."""
    import onnx
    from onnx import numpy_helper

    raw = {item.name: numpy_helper.to_array(item) for item in onnx.load(str(path)).graph.initializer}
    found: dict[str, Array] = {}
    for name, value in raw.items():
        stem = name.removesuffix("_quantized")
        if stem != name and f"{stem}_scale" in raw:
            zero = raw.get(f"{stem}_zero_point", np.int8(0)).astype(np.float32)
            found[name] = (value.astype(np.float32) - zero) * raw[f"{stem}_scale"]
        elif value.dtype == np.float32 and not name.endswith("_scale"):
            found[name] = value
    return found


def locate(named: Mapping[str, Tensor], folder: Path, graphs: tuple[str, ...]) -> tuple[dict[str, list[Any]], dict[str, Array]]:
    """Where each weight stands: name -> [graph, constant, turned]; and those that stand nowhere, which must be small.

    Errors: ValueError for a large weight that is in no graph.
    """
    held = [(graph, name, value) for graph in graphs for name, value in initializers(folder / f"{graph}.onnx").items()]
    places: dict[str, list[Any]] = {}
    folded: dict[str, Array] = {}
    for key, tensor in named.items():
        wanted = tensor.detach().float().numpy()
        place = next((found for graph, name, value in held if (found := _match(graph, name, value, wanted))), None)
        if place is not None:
            places[key] = place
        elif wanted.size <= SMALL:
            folded[key] = wanted
        else:
            raise ValueError(f"{key} {wanted.shape} is in no exported graph")
    return places, folded


def _match(graph: str, name: str, value: Array, wanted: Array) -> list[Any] | None:
    if wanted.size < 2 or value.size != wanted.size:
        return None
    for turned in (False, True):
        shape = wanted.T.shape if turned else wanted.shape
        if value.shape == shape or (not turned and wanted.ndim == 1):
            other = value.T if turned else value.reshape(wanted.shape)
            room = 1e-6 if not name.endswith("_quantized") else float(np.ptp(wanted)) / 127 + 1e-6
            if np.abs(other - wanted).max() <= room:
                return [graph, name, turned]
    return None


def restore(folder: Path) -> dict[str, Tensor]:
    """Weights by name, from a folder that `export` wrote. Errors: ModelCorrupt."""
    try:
        places = json.loads((folder / "model.json").read_text())["weights"]
        graphs = {graph: initializers(folder / f"{graph}.onnx") for graph in sorted({place[0] for place in places.values()})}
        with np.load(folder / "embeddings.npz", allow_pickle=False) as held:
            found = {key.removeprefix("folded/"): torch.from_numpy(held[key]) for key in held.files if key.startswith("folded/")}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ModelCorrupt(f"the weights in {folder} cannot be trained on: {error}", fix="voice-needle models verify") from error
    for key, (graph, name, turned) in places.items():
        value = graphs[graph][name]
        found[key] = torch.from_numpy(np.array(value.T if turned else value, order="C"))
    return found

"""The five ONNX graphs of Stitch and its word embeddings: numbers in, numbers out. Only onnxruntime and numpy."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_needle.errors import ModelCorrupt, ModelMissing
from voice_needle.route.stitch.encoder.overlap import Overlap
from voice_needle.route.stitch.encoder.round4 import Packed
from voice_needle.route.stitch.encoder.slots import NONE, SIZE
from voice_needle.route.stitch.encoder.tokens import Ids, WordPieces

Floats = NDArray[np.float32]

WIDTH = 384
FORMAT = 2
VARIABLE = "VOICE_NEEDLE_STITCH"  # a folder of weights that goes before the packaged ones
PACKAGED = Path(__file__).resolve().parent.parent / "weights"
_REINSTALL = "pip install --force-reinstall voice-needle, or set VOICE_NEEDLE_STITCH to a folder of weights"


def weights_folder(folder: Path | None = None) -> Path:
    """The folder given, else that of VOICE_NEEDLE_STITCH, else the packaged one. Errors: ModelMissing."""
    chosen = folder or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else PACKAGED)
    if not (chosen / "model.json").is_file():
        raise ModelMissing(f"Stitch's weights are not in {chosen}", fix=_REINSTALL)
    return chosen


@dataclass(frozen=True)
class Encoded:
    """An utterance. words: (1, l, d); pieces: (l, d) and whole: (d,), unit vectors to compare tools with.

    untuned: (d,), its sentence vector as all-MiniLM-L6-v2 was published, in the space of schema vectors. late: (l, SIZE), unit
    vectors to compare slots with.
    """

    words: Floats
    pieces: Floats
    whole: Floats
    untuned: Floats
    late: Floats


@dataclass(frozen=True)
class SchemaText:
    """One schema text. vector, aim: (d,), the second to compare utterances with; slot: (SIZE,), words: (l, SIZE)."""

    vector: Floats
    aim: Floats
    slot: Floats
    words: Floats


@dataclass(frozen=True)
class Offered:
    """Slots of t tools, padded to s. slots: (t, s, SIZE), kinds: (t, s), unit: the same of unit length, weights: (t, s)."""

    slots: Floats
    kinds: NDArray[np.int64]
    unit: Floats
    weights: Floats


@dataclass(frozen=True)
class Selected:
    """Logits over a shortlist of k tools. present: (k,); starts: (k, l); servable; count: (5,)."""

    present: Floats
    starts: Floats
    servable: float
    count: Floats


class Network:
    """Loads and runs the graphs. Not for use by two threads at once.

    Errors: ModelMissing without weights, ModelCorrupt where a file is not what model.json says or cannot be read.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        self.folder = weights_folder(folder)
        self.threads = threads
        record = self._verified()
        self.about: Mapping[str, Any] = record.get("about", {})
        self.identity = hashlib.sha256(json.dumps(record["files"], sort_keys=True).encode()).hexdigest()
        try:
            with np.load(self.folder / "embeddings.npz", allow_pickle=False) as held:
                self._embedding = Packed(held["codes"], held["scales"])
                self._rough, self._late, self._weigh = (np.asarray(held[name], dtype=np.float32) for name in ("rough", "late", "weigh"))
            self.pieces = WordPieces(self.folder / "vocab.txt")
            self._trunk, self._tower, self._schema, self._select, self._fill = (
                self._session(name) for name in ("trunk", "tower", "schema", "select", "fill")
            )
        except ModelCorrupt:
            raise
        except Exception as error:  # onnxruntime and numpy raise many classes for a damaged file
            raise ModelCorrupt(f"Stitch's weights in {self.folder} cannot be read: {error}", fix=_REINSTALL) from error
        self.overlap = Overlap(self.pieces.ranks())

    def _verified(self) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads((self.folder / "model.json").read_text())
            files = record["files"].items()
            if record["format"] != FORMAT:
                raise ModelCorrupt(f"Stitch's weights in {self.folder} are of another version", fix=_REINSTALL)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelCorrupt(f"{self.folder / 'model.json'} cannot be read", fix=_REINSTALL) from error
        for name, digest in files:
            path = self.folder / name
            if not path.is_file():
                raise ModelMissing(f"{path} is missing", fix=_REINSTALL)
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                raise ModelCorrupt(f"{path} is damaged", fix=_REINSTALL)
        return record

    def _session(self, name: str) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # shapes differ with each utterance
        return onnxruntime.InferenceSession(str(self.folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])

    def encode(self, ids: Ids) -> Encoded:
        """Word-piece numbers (l,), [CLS] and [SEP] included."""
        low, mask = self._low(ids[None], np.ones((1, len(ids)), dtype=np.float32))
        words, pieces, whole, late = self._tower.run(None, {"low": low, "mask": mask})
        untuned = self._schema.run(["vectors"], {"low": low, "mask": mask})[0]
        return Encoded(words, pieces[0], whole[0], untuned[0], late[0])

    def _low(self, ids: Ids, mask: Floats) -> tuple[Floats, Floats]:
        return self._trunk.run(None, {"embedded": self._embedding.rows(ids), "mask": mask})[0], mask

    def schema(self, texts: Sequence[str]) -> list[SchemaText]:
        """What is kept of schema texts."""
        found = []
        # One at a time: int8 activations are scaled by what shares their batch, and a tool's vector must not depend on its company.
        for ids in self.pieces.schema_ids(list(texts)):
            low, mask = self._low(np.array([ids], dtype=np.int64), np.ones((1, len(ids)), dtype=np.float32))
            vector, aim, slot, words = self._schema.run(None, {"low": low, "mask": mask})
            found.append(SchemaText(vector[0], aim[0], slot[0], words[0]))
        return found

    def offered(self, slots: Sequence[Floats], kinds: Sequence[NDArray[np.int64]]) -> Offered:
        """Slots of several tools, (s, SIZE) and (s,) each, ready to compare utterances with."""
        size = max([1, *map(len, kinds)])
        grid = np.zeros((len(slots), size, SIZE), np.float32)
        kind = np.full((len(slots), size), NONE, np.int64)
        for row, (own, named) in enumerate(zip(slots, kinds, strict=True)):
            grid[row, : len(own)], kind[row, : len(named)] = own, named
        weights = np.logaddexp(0.0, grid @ self._weigh[:SIZE] + self._weigh[SIZE]) * (kind != NONE)
        unit = grid / np.maximum(np.linalg.norm(grid, axis=-1, keepdims=True), 1e-12)
        return Offered(grid, kind, unit.astype(np.float32), weights.astype(np.float32))

    def rough(self, encoded: Encoded, aims: Floats, offered: Offered, said: NDArray[np.bool_]) -> Floats:
        """How well each tool (t, d) fits the utterance, before any comparison between tools; see model.Evidence.late. -> (t,)"""
        best = (encoded.pieces @ aims.T).max(axis=0)
        rough = self._rough[0] * (aims @ encoded.whole) + self._rough[1] * best + self._rough[2]
        alike = offered.unit @ encoded.late.T - (offered.kinds == NONE)[..., None]
        total = offered.weights.sum(-1) + 1e-3
        of_tool = (alike.max(-1) * offered.weights).sum(-1) / total
        literal = (said * offered.weights).sum(-1) / total
        late = self._late[0] * of_tool + self._late[1] * alike.max(1).mean(-1) + self._late[2] * literal
        return np.asarray(rough + late, dtype=np.float32)

    def select(self, encoded: Encoded, tools: Floats, parameters: Floats, rough: Floats, slots: Floats, kinds: NDArray[np.int64],
               said: NDArray[np.bool_]) -> Selected:  # fmt: skip
        """tools, parameters: (k, d); rough: (k,); slots: (k, s, SIZE); kinds, said: (k, s)."""
        present, starts, servable, count = self._select.run(
            None, {"words": encoded.words, "tools": tools[None], "parameters": parameters[None], "rough": rough[None],
                   "slots": slots[None], "slot_kinds": kinds[None], "said": said[None].astype(np.float32)},
        )  # fmt: skip
        return Selected(present[0], starts[0], float(servable[0]), count[0])

    def fill(self, encoded: Encoded, inputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats, Floats, Floats]:
        """Present (c, p), start (c, p, l), end (c, p, l) and value (e, v) logits; inputs as in training.model.Fill."""
        present, start, end, value = self._fill.run(None, {"words": encoded.words, **inputs})
        return present, start, end, value

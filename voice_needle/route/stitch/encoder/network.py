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
from voice_needle.route.stitch.encoder.tokens import Ids, WordPieces

Floats = NDArray[np.float32]

WIDTH = 384
FORMAT = 1
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

    untuned: (d,), its sentence vector as all-MiniLM-L6-v2 was published, in the space of schema vectors.
    """

    words: Floats
    pieces: Floats
    whole: Floats
    untuned: Floats


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
                self._rough = np.asarray(held["rough"], dtype=np.float32)
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
        words, pieces, whole = self._tower.run(None, {"low": low, "mask": mask})
        untuned = self._schema.run(["vectors"], {"low": low, "mask": mask})[0]
        return Encoded(words, pieces[0], whole[0], untuned[0])

    def _low(self, ids: Ids, mask: Floats) -> tuple[Floats, Floats]:
        return self._trunk.run(None, {"embedded": self._embedding.rows(ids), "mask": mask})[0], mask

    def schema(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Vectors of schema texts, and what utterances are compared with: (n, d) each."""
        vectors, aims = np.zeros((len(texts), WIDTH), np.float32), np.zeros((len(texts), WIDTH), np.float32)
        # One at a time: int8 activations are scaled by what shares their batch, and a tool's vector must not depend on its company.
        for row, found in enumerate(self.pieces.schema_ids(list(texts))):
            low, mask = self._low(np.array([found], dtype=np.int64), np.ones((1, len(found)), dtype=np.float32))
            vectors[row : row + 1], aims[row : row + 1] = self._schema.run(None, {"low": low, "mask": mask})
        return vectors, aims

    def rough(self, encoded: Encoded, aims: Floats) -> Floats:
        """How well each tool (t, d) fits the utterance, before any comparison between tools. -> (t,)"""
        best = (encoded.pieces @ aims.T).max(axis=0)
        return np.asarray(self._rough[0] * (aims @ encoded.whole) + self._rough[1] * best + self._rough[2], dtype=np.float32)

    def select(self, encoded: Encoded, tools: Floats, parameters: Floats, rough: Floats) -> Selected:
        """tools, parameters: (k, d); rough: (k,)."""
        present, starts, servable, count = self._select.run(
            None, {"words": encoded.words, "tools": tools[None], "parameters": parameters[None], "rough": rough[None]}
        )
        return Selected(present[0], starts[0], float(servable[0]), count[0])

    def fill(self, encoded: Encoded, inputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats, Floats, Floats]:
        """Present (c, p), start (c, p, l), end (c, p, l) and value (e, v) logits; inputs as in training.model.Fill."""
        present, start, end, value = self._fill.run(None, {"words": encoded.words, **inputs})
        return present, start, end, value

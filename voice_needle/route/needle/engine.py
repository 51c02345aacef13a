"""Needle as a router: v1's open weights on ONNX Runtime, or v2 and v3 through the vendor's package, by what the checkpoint is."""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from platformdirs import user_data_dir

from voice_needle.errors import ModelMissing
from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.route.engine import Router
from voice_needle.route.gate import Thresholds
from voice_needle.route.needle.checkpoint import FIX
from voice_needle.route.needle.decoder import NeedleModel, load_model
from voice_needle.route.needle.grammar import Grammar
from voice_needle.route.needle.prompt import Entry, Prompt
from voice_needle.route.needle.settle import settled
from voice_needle.route.needle.tokenizer import Tokenizer, plain
from voice_needle.route.needle.tokens import Ids, Tokens
from voice_needle.tools import Toolset

FOLDER = "VOICE_NEEDLE_NEEDLE"  # environment: a folder of weights, where the configuration names none
_WEIGHTS = ("model.safetensors", "needle.safetensors", "needle.pkl")
_TOKENIZERS = ("tokenizer.model", "needle.model", "spm.model")
_TOOLSETS, _STATES = 8, 200_000


class NeedleRouter:
    """Whichever Needle the checkpoint is. Not for use by two threads at once.

    checkpoint: needle.pkl, model.safetensors, a .cact archive (v2, v3), or a folder that holds one; without it $VOICE_NEEDLE_NEEDLE, then the
    models folder, then the weights that the cactus-needle package keeps. cache: where converted graphs are kept. quantise: int8. threads: of v1;
    the vendor's engine chooses its own. package: settings of PackageRouter.
    Errors: ModelMissing, ModelCorrupt, EngineMissing.
    """

    name = "needle"

    def __init__(
        self,
        checkpoint: Path | str | None = None,
        *,
        threads: int = 1,
        cache: Path | None = None,
        quantise: bool = True,
        **package: Any,
    ) -> None:
        found = find_checkpoint(Path(checkpoint) if checkpoint else None)
        self.engine: Router
        if found is None or found.suffix == ".cact":
            from voice_needle.route.needle.package import PackageRouter

            self.engine = PackageRouter(found, **package)
        else:
            model = load_model(found, quantise=quantise, threads=threads, cache=cache)
            self.engine = OpenNeedle(model, Tokenizer.load(find_tokenizer(found)))
        calibration = found.with_name("calibration.json") if found is not None else None
        if calibration is not None and calibration.is_file():  # measured on somebody's own requests; none is published
            self.thresholds = Thresholds.load(calibration)

    def prepare(self, tools: Toolset) -> None:
        """Encode the tools, or start the vendor's engine with them."""
        self.engine.prepare(tools)

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide; the gate behind it applies thresholds and confirmations. A technical failure declines, and says so in the reason."""
        started = time.perf_counter()
        decision = self.engine.route(transcript, tools, context)
        return replace(decision, router=self.name, elapsed_ms=(time.perf_counter() - started) * 1000)

    def close(self) -> None:
        """End the vendor's engine where one runs."""
        close = getattr(self.engine, "close", None)
        if close is not None:
            close()


@dataclass
class _Held:
    """What one toolset needs. Grammars differ by which tools fit beside a request: almost always all of them."""

    prompt: Prompt
    grammars: OrderedDict[tuple[str, ...], tuple[Grammar, OrderedDict[object, Ids]]] = field(
        default_factory=OrderedDict
    )


class OpenNeedle:
    """Needle v1. Confidence is the probability of the answer among all that the grammar allows: it is not calibrated.

    Dialogue (yes, no, stop) is not its business: the cascade answers that before.
    """

    name = "needle"

    def __init__(self, model: NeedleModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._tokens = Tokens(tokenizer.content)
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def prepare(self, tools: Toolset) -> None:
        """Write and encode the tools' part of the prompt."""
        self._hold(tools)

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide."""
        text = plain(transcript.text)
        if not text:
            return Decision(reason="nothing said", confidence=1.0)
        if not tools:
            return Decision(reason="no tools", confidence=1.0)
        held = self._hold(tools)
        prompt = held.prompt.ids(text)
        if prompt is None:
            return Decision(reason="too long", confidence=1.0)
        ids, entries = prompt
        grammar, memory = self._grammar(held, entries, tools)
        answer = self.model.answer(self.model.encode(ids), grammar, self._tokens, memory)
        if answer.cut:
            return Decision(reason="cut short: no room", confidence=answer.probability)
        proposed = [(held.prompt.names[call["name"]], call["arguments"]) for call in json.loads(answer.text)]
        return settled(proposed, text, tools, context, answer.probability)

    def _hold(self, tools: Toolset) -> _Held:
        held = self._held.get(tools.content_hash)
        if held is None:
            held = self._held[tools.content_hash] = _Held(Prompt(tools, self.tokenizer))
            while len(self._held) > _TOOLSETS:
                self._held.popitem(last=False)
        return held

    @staticmethod
    def _grammar(held: _Held, entries: tuple[Entry, ...], tools: Toolset) -> tuple[Grammar, OrderedDict[object, Ids]]:
        key = tuple(entry.name for entry in entries)
        found = held.grammars.get(key)
        if found is None or found[0].size > _STATES:
            grammar = Grammar([(entry.name, tools[entry.tool].parameters) for entry in entries])
            found = held.grammars[key] = (grammar, OrderedDict())
            while len(held.grammars) > _TOOLSETS:
                held.grammars.popitem(last=False)
        return found


def find_checkpoint(given: Path | None) -> Path | None:
    """The weights to use; None for those that the vendor's package keeps. Errors: ModelMissing."""
    if given is not None:
        return _weights_in(given, complain=True)
    named = os.environ.get(FOLDER)
    if named:
        return _weights_in(Path(named), complain=True)
    found = _weights_in(Path(user_data_dir("voice-needle")) / "models" / "needle", complain=False)
    if found is not None:
        return found
    from voice_needle.route.needle.package import installed

    if not installed():
        raise ModelMissing("No Needle is on this device: neither v1's weights nor the vendor's package.", fix=FIX)
    return None


def _weights_in(path: Path, *, complain: bool) -> Path | None:
    if path.is_file():
        return path
    found = [path / name for name in _WEIGHTS if (path / name).is_file()] or sorted(path.glob("*.cact"))
    if not found and complain:
        raise ModelMissing(f"{path} holds no Needle weights.", fix=FIX)
    return found[0] if found else None


def find_tokenizer(checkpoint: Path) -> Path:
    """The SentencePiece model beside a checkpoint. Errors: ModelMissing."""
    folder = checkpoint.parent
    found = [folder / name for name in _TOKENIZERS if (folder / name).is_file()] or sorted(folder.glob("*.model"))
    if not found:
        raise ModelMissing(f"No SentencePiece model (tokenizer.model) is beside {checkpoint}.", fix=FIX)
    return found[0]

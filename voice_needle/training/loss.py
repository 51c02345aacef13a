"""What Stitch is trained towards, and the shares of decisions that are right on a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from voice_needle.training.batch import Batch
from voice_needle.training.model import SHORTLIST, Offered, Selection, Stitch

NARROW = 10  # tools compared in a training step: the hardest, which is nearly all there is to learn from
NOISE = 0.3  # on slots, as a share of their spread

WEIGHTS = {"present": 1.0, "rough": 0.3, "starts": 0.5, "servable": 0.5, "count": 0.2, "given": 1.0, "start": 1.0, "end": 1.0,
           "value": 1.0}  # fmt: skip


@dataclass
class Output:
    """Logits of one batch."""

    selection: Selection
    given: Tensor
    start: Tensor
    end: Tensor
    value: Tensor


def forward(model: Stitch, batch: Batch) -> Output:
    """Run the network on a batch, the right tools kept on the shortlist and each right call's clause given."""
    words = model.words(batch.ids, batch.mask)
    projected = model.select.evidence.project(batch.slots)
    if model.training:  # as the other schema vectors: meanings are to be learned, not these few tools
        projected = projected + torch.randn_like(projected) * (NOISE * projected.detach().std())
    offered = Offered(projected, batch.slot_kinds, batch.slot_of, batch.said)
    shortlist = SHORTLIST if not model.training else NARROW
    selection = model.choose(words, batch.mask, batch.tools, batch.tool_parameters, batch.tool_mask, batch.present, offered, shortlist)
    given, start, end, value = model.fill(
        words[batch.call_of], batch.mask[batch.call_of], batch.place, batch.tool, batch.parameters, batch.kinds,
        batch.required, batch.parameter_mask, batch.hints, batch.values, batch.owner, batch.matches,
    )  # fmt: skip
    value = value + (1.0 - batch.value_mask.to(value.dtype)) * -1e4
    return Output(selection, given.float(), start.float(), end.float(), value.float())


def _mean(loss: Tensor, weight: Tensor) -> Tensor:
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def _pointer(logits: Tensor, target: Tensor) -> Tensor:
    chosen = target >= 0
    if not bool(chosen.any()):
        return logits.sum() * 0.0
    return F.cross_entropy(logits[chosen], target[chosen])


def losses(output: Output, batch: Batch) -> dict[str, Tensor]:
    """Each loss by name, unweighted."""
    chosen, b = output.selection, batch.ids.shape[0]
    trains = batch.trains_tools
    label = batch.present.gather(1, chosen.index)
    offered = batch.tool_mask.gather(1, chosen.index).float()
    bce = F.binary_cross_entropy_with_logits(chosen.present.float(), label, reduction="none") * offered
    # The hardest wrong tool of each utterance counts again: what is called by mistake is what this model is judged by.
    hardest = (bce * (1 - label)).amax(1)
    found: dict[str, Tensor] = {"present": _mean(bce.sum(1) + hardest, trains)}
    served = (batch.present.sum(1) > 0).float()
    log = torch.log_softmax(chosen.rough.float(), dim=1)
    found["rough"] = _mean(-(log * batch.present).sum(1) / batch.present.sum(1).clamp(min=1.0), trains * served)
    starts = batch.starts.gather(1, chosen.index[..., None].expand(-1, -1, batch.starts.shape[2]))
    each = F.binary_cross_entropy_with_logits(chosen.starts.float(), starts, reduction="none") * batch.mask[:, None].float()
    found["starts"] = _mean(each.sum(2), label * trains[:, None])
    found["servable"] = _mean(F.binary_cross_entropy_with_logits(chosen.servable.float(), served, reduction="none"), trains)
    found["count"] = _mean(F.cross_entropy(chosen.count.float(), batch.count, reduction="none"), trains)
    called = batch.parameter_mask.float() * float(b > 0)
    found["given"] = _mean(
        (F.binary_cross_entropy_with_logits(output.given, batch.given, reduction="none") * called).sum(1), called.amax(1)
    )
    found["start"] = _pointer(output.start, batch.start)
    found["end"] = _pointer(output.end, batch.end)
    found["value"] = _pointer(output.value, batch.value)
    return found


@dataclass
class Counts:
    """Running shares. tools: the set of tools is right; refused: [] said where it is right; calls: every parameter is."""

    tools: int = 0
    of_tools: int = 0
    refused: int = 0
    of_refused: int = 0
    calls: int = 0
    of_calls: int = 0
    exact: int = 0

    def add(self, output: Output, batch: Batch) -> None:
        chosen = output.selection
        said = torch.zeros_like(batch.present).scatter(1, chosen.index, (chosen.present > 0).float()) * batch.tool_mask
        said = said * (chosen.servable > 0).float()[:, None]
        right = (said == batch.present).all(1)
        trains = batch.trains_tools > 0
        self.tools += int((right & trains).sum())
        self.of_tools += int(trains.sum())
        none = (batch.present.sum(1) == 0) & trains
        self.refused += int((right & none).sum())
        self.of_refused += int(none.sum())
        filled = self._calls(output, batch)
        real = batch.parameter_mask.sum(1) > 0 if batch.tool.abs().sum() else torch.zeros_like(filled)
        self.calls += int((filled & real).sum())
        self.of_calls += int(real.sum())
        wrong = torch.zeros(len(right)).index_add(0, batch.call_of, (~filled).float()) > 0
        self.exact += int((right & ~wrong & trains).sum())

    @staticmethod
    def _calls(output: Output, batch: Batch) -> Tensor:
        good = (output.given > 0).float() == batch.given
        spans = (output.start.argmax(-1) == batch.start) & (output.end.argmax(-1) == batch.end)
        owned = torch.zeros_like(good)
        owned[batch.owner[:, 0], batch.owner[:, 1]] = True
        good &= spans | (batch.start < 0) | owned
        chosen = (output.value.argmax(-1) == batch.value) | (batch.value < 0)
        good[batch.owner[:, 0], batch.owner[:, 1]] &= chosen
        return (good | (batch.parameter_mask == 0)).all(1)

    def shares(self) -> dict[str, float]:
        return {
            "tools": self.tools / max(1, self.of_tools), "refused": self.refused / max(1, self.of_refused),
            "calls": self.calls / max(1, self.of_calls), "exact": self.exact / max(1, self.of_tools),
        }  # fmt: skip

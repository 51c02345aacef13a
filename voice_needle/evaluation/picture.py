"""A picture of a conversation: the user's sound, our sound, and what every stage did meanwhile, on one time line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle import events as e
from voice_needle.errors import EngineMissing

COLOURS = {
    "speech": "#4c78a8",
    "waiting for the end": "#9ecae9",
    "transcription": "#f58518",
    "routing": "#e45756",
    "tool": "#54a24b",
    "answer": "#b279a2",
}


def spans(events: Iterable[e.Event]) -> list[tuple[str, float, float]]:
    """(stage, start, end) in ms of the clock, from the events of a conversation."""
    found: list[tuple[str, float, float]] = []
    speech: dict[int, float] = {}
    calls: dict[int, float] = {}
    answers: dict[int, float] = {}
    for event in events:
        match event:
            case e.SpeechStarted():
                speech[event.turn] = event.at_ms
            case e.SpeechEnded():
                end = event.at_ms - event.silence_ms
                found.append(("speech", max(end - event.duration_ms, 0.0), end))
                found.append(("waiting for the end", end, event.at_ms))
            case e.Heard() if event.transcript.final:
                found.append(("transcription", event.at_ms - event.elapsed_ms, event.at_ms))
            case e.Decided():
                found.append(("routing", event.at_ms - event.elapsed_ms, event.at_ms))
            case e.CallStarted():
                calls[event.turn] = event.at_ms
            case e.CallEnded() if event.turn in calls:
                found.append(("tool", calls.pop(event.turn), event.at_ms))
            case e.AnswerStarted():
                answers[event.turn] = event.at_ms
            case e.AnswerEnded() if event.turn in answers:
                found.append(("answer", answers.pop(event.turn), event.at_ms))
    return found


def draw(user: Path, assistant: Path, events: list[e.Event], started_ms: float, out: Path) -> None:
    """Write a PNG. started_ms: the clock when both files begin. Errors: EngineMissing without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise EngineMissing(
            "matplotlib is not installed; it draws the picture", fix="pip install 'voice-needle[plot]'"
        ) from error
    matplotlib.use("Agg")
    import soundfile
    from matplotlib import pyplot as plt

    figure, (sound, stages) = plt.subplots(
        2, 1, sharex=True, figsize=(14, 6), height_ratios=(2, 2), layout="constrained"
    )
    for file, colour, name in ((user, "#4c78a8", "user"), (assistant, "#b279a2", "assistant")):
        samples, rate = soundfile.read(file, dtype="float32")
        if len(samples):
            low, high, at = _envelope(samples, rate)
            sound.fill_between(at, low, high, color=colour, alpha=0.8, label=name, linewidth=0)
    sound.set_ylabel("sound")
    sound.set_yticks([])
    sound.legend(loc="upper right")
    names = list(COLOURS)
    for stage, start, end in spans(events):
        x, width = (start - started_ms) / 1000, (end - start) / 1000
        stages.barh(names.index(stage), max(width, 0.02), left=x, color=COLOURS[stage], height=0.7)
        stages.text(x + max(width, 0.02) + 0.03, names.index(stage), f"{end - start:.0f} ms", va="center", fontsize=8)
    stages.set_yticks(range(len(names)), names)
    stages.invert_yaxis()
    stages.set_xlabel("seconds")
    _captions(sound, events, started_ms)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def _captions(axes: Any, events: list[e.Event], started_ms: float) -> None:
    """What was heard above the sound, what was said below it, each on one of three lines in turn."""
    heard = said = 0
    for event in events:
        x = (event.at_ms - started_ms) / 1000
        if isinstance(event, e.Heard) and event.transcript.final:
            text, y, heard = f'heard "{event.transcript.text}"', 0.96 - 0.06 * (heard % 3), heard + 1
        elif isinstance(event, e.AnswerStarted):
            text, y, said = f'said "{event.text}"', 0.02 + 0.06 * (said % 3), said + 1
        else:
            continue
        axes.annotate(text, (x, y), xycoords=("data", "axes fraction"), fontsize=8)


def _envelope(samples: Any, rate: int, points: int = 3000) -> tuple[Any, Any, Any]:
    size = max(1, len(samples) // points)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return blocks.min(axis=1), blocks.max(axis=1), np.arange(len(blocks)) * size / rate

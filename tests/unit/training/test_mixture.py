"""The mixture: deterministic, free of dev sentences, with possible labels; needs the public sets beside the project."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from voice_needle.training import mixture as module
from voice_needle.training.draft import Style
from voice_needle.training.examples import from_json, to_json
from voice_needle.training.mixture import Mixture, load, store
from voice_needle.training.readers import DEFAULT_DATA, Reader, TrainingDataMissing, development_texts, normalised

present = pytest.mark.skipif(
    not (DEFAULT_DATA / "router").is_dir(), reason="the public sets are not beside the project"
)
SOURCES = ("own", "home", "dialogue", "liu", "skills")


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return Mixture(seed=3, sources=SOURCES)


def weights() -> dict[str, float]:
    return {name: module.DEFAULT[name] for name in SOURCES}


def test_missing_data_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataMissing) as caught:
        Mixture(data=tmp_path)
    assert "--data" in caught.value.fix


@present
def test_labels_are_possible_and_tools_have_distinct_names(mixture: Mixture) -> None:
    for example in islice(mixture.stream(weights()), 1500):
        assert not list(example.problems()), example


@present
def test_no_sentence_of_the_dev_files(mixture: Mixture) -> None:
    excluded = development_texts(DEFAULT_DATA)
    assert len(excluded) > 3000
    for example in islice(mixture.stream(weights()), 1500):
        assert normalised(example.text) not in excluded


@present
def test_held_out_tools_are_never_offered_in_training(mixture: Mixture) -> None:
    held_out = {id(variant.schema) for tool, found in mixture.variants.items() if tool.held_out for variant in found}
    assert held_out
    for example in islice(mixture.stream(weights()), 1500):
        assert not any(id(tool) in held_out for tool in example.tools)


@present
def test_what_is_corrected_was_said_whatever_else_the_sentence_means(mixture: Mixture) -> None:
    for kind in ("correction", "two_objects"):  # Home Assistant's sentences mean values that no word says
        for case in (mixture.home.case(kind, Style()) for _ in range(400)):
            call = case.draft.calls[-1]
            assert any(case.draft.where(group) for _, group in call.arguments.values())


def test_the_same_seed_gives_the_same_stream() -> None:
    first, second = (
        [example.text for example in islice(Mixture(9, sources=SOURCES).stream(weights()), 200)] for _ in range(2)
    )
    assert first == second


@present
def test_shards_hold_what_was_drawn(mixture: Mixture, tmp_path: Path) -> None:
    drawn = list(islice(mixture.stream(weights()), 300))
    store(iter(drawn), len(drawn), tmp_path)
    held = list(load(tmp_path))
    assert [to_json(example) for example in held] == [to_json(example) for example in drawn]
    assert [[tool["name"] for tool in example.tools] for example in held] == [
        [tool["name"] for tool in example.tools] for example in drawn
    ]
    assert from_json(to_json(held[0]), held[0].tools) == held[0]


@present
def test_public_values_stand_where_their_spans_say() -> None:
    seen = 0
    for example in islice(Reader().read("skills"), 800):
        for answer in example.answers:
            for value in answer.arguments.values():
                assert value.span is not None
                assert example.words(value).lower() == str(value.value).lower()
                seen += 1
    assert seen > 300


@present
def test_chains_divide_where_their_joint_stands() -> None:
    chains = [example for example in islice(Reader().read("sgd"), 9000) if len(example.answers) == 2]
    assert len(chains) > 100
    for example in chains:
        first, second = example.answers
        joint = example.text[first.clause.end : second.clause.start].strip()
        assert joint in ("and could you also", "and then", "and also", "after that", "oh and", "then", "and")

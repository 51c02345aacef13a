"""The template corpus: every file loads, every tool can be said, and each kind of case is labelled as it must be."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from voice_needle.training.draft import Filler, Style, finish, spelled
from voice_needle.training.examples import Example
from voice_needle.training.hard_cases import Writer
from voice_needle.training.templates import CORPUS, CorpusError, Domain, read_corpus, read_frames, render

DECLINED = ("taken_back", "removed", "near", "none", "unknown_value", "half", "negation", "reported", "hypothetical",
            "conditional", "question_about", "past")  # fmt: skip


@pytest.fixture(scope="module")
def domains() -> list[Domain]:
    return read_corpus()


@pytest.fixture(scope="module")
def writer(domains: list[Domain]) -> Writer:
    rng = random.Random(5)
    variants = {tool: [render(tool, rng) for _ in range(4)] for domain in domains for tool in domain.tools}
    return Writer(rng, domains, variants, read_frames(), {}, wide=True)


def test_every_file_is_read(domains: list[Domain]) -> None:
    assert {domain.name for domain in domains} == {path.stem for path in CORPUS.glob("[a-z]*.yaml")}
    assert len(domains) >= 25 and sum(len(domain.tools) for domain in domains) >= 150
    assert any(domain.held_out for domain in domains) and not all(domain.held_out for domain in domains)


def test_every_template_of_every_tool_can_be_said(domains: list[Domain]) -> None:
    rng = random.Random(2)
    for domain in domains:
        filler = Filler(rng, Style(), domain.values, {})
        for tool in domain.tools:
            variant = render(tool, rng, plain=True)
            for template in tool.say:
                assert any(filler.request(template, variant) for _ in range(30)), (tool.key, template)
            for template in tool.near:
                assert filler.request(template, variant, silent=True), (tool.key, template)


def test_rendered_schemas_are_json_schema(domains: list[Domain]) -> None:
    rng = random.Random(3)
    for domain in domains:
        for tool in domain.tools:
            schema = render(tool, rng, plain=True).schema
            jsonschema.Draft202012Validator.check_schema(schema["parameters"])
            assert set(schema["parameters"]["required"]) <= set(schema["parameters"]["properties"])


def examples(writer: Writer, kind: str, count: int) -> Iterator[Example]:
    for number in range(count):
        case = writer.case(kind, Style(digits=number % 3 == 0))
        text, answers = finish(case.draft)
        yield Example(text, tuple(variant.schema for variant in case.offered), answers, kind=case.kind, meta=case.meta)


def test_labels_are_possible_in_every_kind(writer: Writer) -> None:
    for kind in writer.kinds:
        for example in examples(writer, kind, 60):
            assert not list(example.problems()), (kind, example)


def test_plain_requests_fit_their_schemas(writer: Writer) -> None:
    for example in examples(writer, "intent", 300):
        (answer,) = example.answers
        schema = next(tool for tool in example.tools if tool["name"] == answer.tool)["parameters"]
        if "float" not in str(schema):
            arguments = {name: value.value for name, value in answer.arguments.items()}
            jsonschema.validate(arguments, {**schema, "required": []})


def test_open_values_are_what_their_words_say(writer: Writer) -> None:
    seen = 0
    for example in examples(writer, "intent", 300):
        for answer in example.answers:
            schema = next(tool for tool in example.tools if tool["name"] == answer.tool)["parameters"]["properties"]
            for name, value in answer.arguments.items():
                if schema[name]["type"] == "string" and not {"enum", "format"} & set(schema[name]):
                    said = example.words(value)
                    assert value.value in (said, spelled(said)) or _canonical(value.value), (example.text, name, value)
                    seen += value.value == said
    assert seen > 50


def _canonical(value: str) -> bool:
    """A duration, time or date, which is not what the words say but what they mean."""
    return bool(re.match(r"P\d|PT\d|\d\d:\d\d$|20\d\d-", value))


@pytest.mark.parametrize("kind", DECLINED)
def test_what_must_not_be_done_has_no_answer(writer: Writer, kind: str) -> None:
    assert all(example.answers == () for example in examples(writer, kind, 40))


def test_a_correction_keeps_only_the_last_value(writer: Writer) -> None:
    for example in examples(writer, "correction", 80):
        assert len(example.answers) == 1


def test_two_objects_share_the_tool_and_differ_in_one_value(writer: Writer) -> None:
    for example in examples(writer, "two_objects", 60):
        first, second = example.answers
        assert first.tool == second.tool
        differing = [name for name in first.arguments if first.arguments[name].value != second.arguments[name].value]
        assert len(differing) == 1
        assert first.clause.end <= second.clause.start


def test_several_objects_differ_in_one_value_and_share_the_others(writer: Writer) -> None:
    counts = set()
    for example in examples(writer, "several_objects", 80):
        assert len({answer.tool for answer in example.answers}) == 1
        values = {name: [answer.arguments[name].value for answer in example.answers] for name in example.answers[0].arguments}
        assert sorted(len(set(map(str, found))) > 1 for found in values.values())[-2:] in ([True], [False, True])
        counts.add(len(example.answers))
    assert counts == {2, 3, 4}


def test_respectively_pairs_the_values_in_the_order_they_are_said(writer: Writer) -> None:
    for example in examples(writer, "respectively", 60):
        first = example.answers[0]
        paired = [name for name in first.arguments
                  if len({str(answer.arguments[name].value) for answer in example.answers}) == len(example.answers)]  # fmt: skip
        assert len(paired) == 2
        for name in paired:
            starts = [answer.arguments[name].span.start for answer in example.answers if answer.arguments[name].span]
            assert len(starts) == len(example.answers) and starts == sorted(starts)


def test_an_ellipsis_says_every_value_again(writer: Writer) -> None:
    for example in examples(writer, "ellipsis", 60):
        spans = [value.span for answer in example.answers for value in answer.arguments.values() if value.span]
        assert len(spans) == len(set(spans)) and len({answer.tool for answer in example.answers}) == 1


def test_an_unknown_value_is_not_offered(writer: Writer) -> None:
    for example in examples(writer, "unknown_value", 60):
        (tool,) = example.tools
        offered = tool["parameters"]["properties"][example.meta["parameter"]]
        assert example.meta["words"] not in [form for forms in offered.get("x-spoken", {}).values() for form in forms]


def test_a_slot_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_shared.yaml").write_text("values: {}\n")
    (tmp_path / "bad.yaml").write_text("domain: bad\ntools: [{name: x, description: d, say: ['do {that}']}]\n")
    with pytest.raises(CorpusError, match="that"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(("words", "code"), [("a fourteen", "A14"), ("p o four one nine", "PO419"), ("c three one", "C31"),
                                             ("b dash twenty two", "B-22"), ("k forty", "K40"), ("eight hundred and twelve", "812"), ("one eight hundred five", "1805"), ("nine hundred", "900")])  # fmt: skip
def test_spelled_codes(words: str, code: str) -> None:
    assert spelled(words) == code

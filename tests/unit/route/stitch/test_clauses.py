"""Where several requests in one breath are parted, and when a parting is believed."""

from __future__ import annotations

import pytest

from voice_needle.route.stitch.clauses import CUTS, best_parting, contrast, cuts, linked, partings


def parts_of(text: str, starts: list[int] = []) -> list[list[str]]:  # noqa: B006 (never changed)
    return [[text[begin:end] for begin, end in parts] for parts in partings(text, cuts(text, starts))]


def test_joints_part_and_belong_to_neither_part() -> None:
    assert parts_of("open the gate and then feed the cat") == [["open the gate", "feed the cat"]]
    assert parts_of("Open the gate. Feed the cat.") == [["Open the gate", "Feed the cat."]]


def test_every_way_to_part_at_two_joints() -> None:
    found = parts_of("play salt and pepper and close the door")
    assert found == [
        ["play salt", "pepper and close the door"],
        ["play salt and pepper", "close the door"],
        ["play salt", "pepper", "close the door"],
    ]


def test_a_start_that_the_network_sees_parts_without_a_joint() -> None:
    text = "stop baking boil the kettle"
    assert parts_of(text, [0, text.index("boil")]) == [["stop baking", "boil the kettle"]]


def test_a_start_right_after_a_joint_is_the_same_place() -> None:
    text = "stop baking and boil the kettle"
    assert len(cuts(text, [0, text.index("boil")])) == 1


def test_no_more_places_than_can_be_tried() -> None:
    assert len(cuts(" and ".join(["open the gate"] * 40), [])) == CUTS


def test_words_without_a_joint_are_not_parted() -> None:
    assert cuts("turn on the kitchen light", [0]) == []


SCORES = {"open the gate": -0.5, "feed the cat": -0.7, "play salt and pepper": -0.2, "play salt": -0.3}


@pytest.mark.parametrize(
    ("text", "whole", "expected"),
    [
        ("open the gate and feed the cat", -3.0, ["open the gate", "feed the cat"]),
        ("open the gate and feed the cat", -1.0, None),  # likelier as one
        ("play salt and pepper", -5.0, None),  # "pepper" asks for nothing, however unlikely the whole
        ("play salt and pepper and feed the cat", -4.0, ["play salt and pepper", "feed the cat"]),
    ],
)
def test_a_parting_is_believed_when_every_part_asks_and_it_is_likelier(text: str, whole: float, expected: list[str] | None) -> None:
    found = best_parting(text, cuts(text, []), lambda part: SCORES.get(text[part[0] : part[1]]), lambda count: whole)
    assert (None if found is None else [text[begin:end] for begin, end in found]) == expected


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("don't close the blinds just turn on the light", "turn on the light"),
        ("do not set the room to sixteen degrees but set it to twenty", "set it to twenty"),
        ("i don't want you to stop mowing i want you to water the roses", "water the roses"),
        ("turn on the light but please don't close the blinds", "turn on the light"),
        ("turn on the light please and do not close the blinds", "turn on the light"),
        ("don't forget to turn on the light but gently please", None),
        ("don't turn on the light", None),
        ("never turn on the light just like that", None),
        ("turn on the light and close the blinds", None),
    ],
)
def test_what_is_asked_for_beside_what_is_not(text: str, meant: str | None) -> None:
    found = contrast(text)
    assert (None if found is None else text[found[0] : found[1]]) == meant


def test_no_request_begins_inside_a_number() -> None:
    text = "heat the oven to one hundred and thirty and boil the kettle"
    assert [(text[:end], text[begin:]) for end, begin in cuts(text, [text.index("thirty")])] == [
        ("heat the oven to one hundred and thirty ", " boil the kettle")
    ]


def test_words_that_only_join_belong_to_no_part() -> None:
    text = "mow the lawn and while you are at it open the gate followed by the wake up call"
    assert parts_of(text)[-1] == ["mow the lawn", "open the gate", "the wake up call"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("open the gate", 1),
        ("play salt and pepper", 1),
        ("open the gate and then feed the cat", 2),
        ("stop baking oh and sprinklers on", 2),
        ("open the gate and when that's done feed the cat followed by the dog", 3),
    ],
)
def test_links_announce_requests_and_a_bare_and_does_not(text: str, count: int) -> None:
    assert linked(text) == count

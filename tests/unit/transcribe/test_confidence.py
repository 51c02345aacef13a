"""A reply that only the wider grammar seconds is not as sure as one that the language model heard, too."""

from __future__ import annotations

from voice_needle.transcribe.confidence import Reading, logistic, seconded
from voice_needle.transcribe.sphinx import WEIGHTS

PHONES = -2.0


def sure(reply: Reading, *others: Reading) -> float:
    return logistic(seconded(reply, others, PHONES), WEIGHTS)


def test_a_cough_that_both_grammars_read_alike_is_refused_where_the_language_model_hears_something_else() -> None:
    cough = Reading(("undo", "that"), PHONES - 1.25)
    assert sure(cough, Reading(("move", "back"), -3.0), Reading(("undo", "that"), -3.3)) < 0.5
    assert sure(cough, Reading(("undo", "that"), -3.0), Reading(("undo", "that"), -3.3)) > 0.5


def test_a_clear_word_is_heard_with_one_reading_for_it() -> None:
    cancel = Reading(("cancel",), PHONES - 0.4)
    assert sure(cancel, Reading(("can", "still"), -2.5), Reading(("cancel",), -2.4)) > 0.9
    assert sure(cancel, Reading(("can", "still"), -2.5), Reading((), 0.0)) < 0.5

"""One class an error, each with a sentence for the ear and something to type."""

import inspect
import re

import pytest

from voice_needle import errors

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.VoiceNeedleError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_speaks_and_says_what_to_type(kind: type[errors.VoiceNeedleError]):
    error = kind("It broke.")
    assert error.spoken.endswith(".")
    assert error.fix
    assert str(error) == "It broke."
    assert kind("It broke.", fix="make setup").fix == "make setup"


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"(?m)^    [│├└─ ]*([A-Z][A-Za-z]+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(each.__name__ for each in CLASSES)

"""Prompts in which columns of the cohort are filled in."""

import pandas as pd
import pytest

from sonosynth.cohort.captions import columns, filled, of_rows

TEMPLATE = "ultrasound of a benign {organ}, {device}, seen by {operator} at {place}, enlarged"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"organ": "breast", "device": "LOGIQ_E9", "operator": "x", "place": "y"},
         "ultrasound of a benign breast, LOGIQ E9, seen by x at y, enlarged"),
        ({"organ": "breast", "device": "", "operator": "x"}, "ultrasound of a benign breast, seen by x, enlarged"),
        ({"organ": "breast", "place": "y"}, "ultrasound of a benign breast, seen at y, enlarged"),
        ({"organ": "breast"}, "ultrasound of a benign breast, enlarged"),
        ({"organ": "  "}, "ultrasound of a benign, enlarged"),
        ({}, "ultrasound of a benign, enlarged"),
    ],
)  # fmt: skip
def test_missing_values_leave_no_hole(values, text):
    assert filled(TEMPLATE, values) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("CT of a {x}, benign", "CT, benign"),
        ("CT of a {x} with a benign lesion", "CT with a benign lesion"),
        ("CT of a {x} benign lesion", "CT of a benign lesion"),  # "of a" goes on with the lesion
        ("CT of a {x} {y}", "CT"),
        ("{x} CT of a lesion", "CT of a lesion"),
        ("{x}, benign lesion", "benign lesion"),
        ("CT of {x} and {a}", "CT of A"),
        ("CT of {a} or {x}", "CT of A"),
        ("CT of {x} and {y} in {a}", "CT in A"),
        ("CT ({x}) of a lesion [{x} {y}]", "CT of a lesion"),
        ("CT of a lesion in the {x}.", "CT of a lesion."),
        ("CT, from {x} at {a}, {y}", "CT, at A"),
        ("panorama {x}", "panorama"),  # no little word, though it ends like one
    ],
)
def test_little_words_go_with_the_value_that_they_belong_to(template, text):
    assert filled(template, {"a": "A", "x": "", "y": ""}) == text


def test_each_row_has_its_own_values():
    rows = pd.DataFrame({"label": ["a", "b"], "device": ["X", ""]})
    prompts = {"a": "image of a, {device}", "b": "image of b, {device}"}
    assert columns(prompts.values()) == ["device"]
    assert of_rows(prompts, rows) == ["image of a, X", "image of b"]
    assert of_rows({"a": "one", "b": "two"}, rows.drop(columns="device")) == ["one", "two"]

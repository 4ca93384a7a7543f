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
        ({"organ": "breast", "device": "", "operator": "x"}, "ultrasound of a benign breast, seen by x at, enlarged"),
        ({"organ": "breast"}, "ultrasound of a benign breast, enlarged"),
        ({}, "ultrasound of a benign, enlarged"),
    ],
)  # fmt: skip
def test_missing_values_leave_no_hole(values, text):
    assert filled(TEMPLATE, values) == text


def test_each_row_has_its_own_values():
    rows = pd.DataFrame({"label": ["a", "b"], "device": ["X", ""]})
    prompts = {"a": "image of a, {device}", "b": "image of b, {device}"}
    assert columns(prompts.values()) == ["device"]
    assert of_rows(prompts, rows) == ["image of a, X", "image of b"]
    assert of_rows({"a": "one", "b": "two"}, rows.drop(columns="device")) == ["one", "two"]

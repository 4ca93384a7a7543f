"""The balance plan in closed form: how many images of each class, in which strata."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonosynth.synthesis import strata


def rows(counts, column="device"):
    """Training rows, as many of each (label, value) as counted."""
    table = [(label, value) for (label, value), n in counts.items() for _ in range(n)]
    found = pd.DataFrame(table, columns=["label", column])
    return found.assign(id=[f"i{n}" for n in range(len(found))])


def after(counts, target, by=("device",)):
    """Images of each (label, value) with the synthetic ones."""
    of = strata.members(rows(counts), by)
    made = {label: strata.order(of, label, n) for label, n in strata.plan(of, target).items()}
    return Counter(counts) + Counter((label, *stratum) for label, found in made.items() for stratum in found)


def test_plan_of_the_paper():
    of = strata.members(rows({("benign", ""): 349, ("malignant", ""): 168, ("normal", ""): 106}), ())
    assert strata.plan(of, 350) == {"benign": 1, "malignant": 182, "normal": 244}
    assert strata.plan(of, "largest") == {"benign": 0, "malignant": 181, "normal": 243}
    assert strata.plan(of, 200) == {"benign": 0, "malignant": 32, "normal": 94}
    assert strata.order(of, "normal", 3) == [(), (), ()]


UNEVEN = {("benign", "X"): 300, ("benign", "Y"): 137, ("malignant", "X"): 60, ("malignant", "Y"): 150}


@pytest.mark.parametrize(
    ("target", "x", "y"),
    [
        ("largest", 300, 150),  # the larger class on each device
        (450, 300, 150),
        (900, 600, 300),  # in their proportions
    ],
)
def test_every_class_has_the_same_share_of_every_stratum(target, x, y):
    expected = {("benign", "X"): x, ("benign", "Y"): y, ("malignant", "X"): x, ("malignant", "Y"): y}
    assert after(UNEVEN, target) == expected


def test_as_near_as_a_number_allows():
    # 437 in all: 300 : 150 would be 291 : 146, and 60 + 227 are 287; nothing is taken from the others.
    assert after(UNEVEN, 437) == Counter(UNEVEN) + Counter({("malignant", "X"): 227})
    of = strata.members(rows(UNEVEN), ("device",))
    assert Counter(strata.order(of, "benign", 140)) == {("X",): 85, ("Y",): 55}  # 385 : 192 of 577


def test_nothing_is_made_where_a_class_has_no_image():
    counts = {("a", "X"): 10, ("a", "Z"): 4, ("b", "X"): 5, ("b", ""): 2}
    assert after(counts, "largest") == {("a", "X"): 10, ("a", "Z"): 4, ("b", "X"): 10, ("b", ""): 2}
    of = strata.members(rows(counts), ("device",))
    assert strata.missing(of) == [("a", ("",)), ("b", ("Z",))]
    assert set(strata.order(of, "b", 50)) == {("X",), ("",)}


def test_strata_of_two_columns_are_their_pairs():
    table = rows({("a", "X"): 2, ("b", "X"): 1}).assign(site=["n", "s", "s"])
    of = strata.members(table, ("device", "site"))
    assert of == {"a": {("X", "n"): ["i0"], ("X", "s"): ["i1"]}, "b": {("X", "s"): ["i2"]}}
    assert strata.plan(of, "largest") == {"a": 0, "b": 0} and strata.missing(of) == [("b", ("X", "n"))]


def test_images_to_start_from_take_turns_in_their_stratum():
    of = strata.members(rows({("a", "X"): 3, ("a", "Y"): 1, ("b", "X"): 3, ("b", "Y"): 3}), ("device",))
    assert strata.in_turn(of, "a", ["i2", "i3", "i0", "i1"], 2) == ["i3", "i3"]
    assert strata.in_turn(of, "a", ["i2", "i3", "i0", "i1"], 8) == ["i3", "i3", "i2", "i3", "i0", "i3", "i1", "i3"]


cells = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("XYZ")), st.integers(1, 30), min_size=1)


@given(cells)
def test_afterwards_a_value_says_nothing_of_the_class_and_nothing_smaller_would_do(counts):
    found = after(counts, "largest")
    for value in "XYZ":
        there = {n for (_, other), n in found.items() if other == value}
        assert len(there) <= 1  # one number for all classes that have any
        assert not there or there == {max(n for (_, other), n in counts.items() if other == value)}
    assert found.keys() == counts.keys()


@given(cells, st.integers(1, 200))
def test_a_number_is_kept_whatever_the_strata(counts, target):
    found = after(counts, target)
    for label in {label for label, _ in counts}:
        had, has = (sum(n for (own, _), n in table.items() if own == label) for table in (counts, found))
        assert has == max(had, target)

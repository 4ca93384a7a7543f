import numpy as np
import pytest

from sonosynth.evidence.tests import wilson
from sonosynth.fidelity import recognition
from sonosynth.fidelity.comparison import Images, Sides

PLACES = {"a": 0, "b": 8, "c": -8}


def images(rng, *counts, of=None):
    """Images of the classes a, b and c, as many as `counts`; `of`: the classes that they really show."""
    labels = np.repeat(list(PLACES), counts)
    shown = labels if of is None else np.asarray(of)
    x = rng.normal([PLACES[label] for label in shown], 1)[:, None] * [1, -1]
    return Images({"x": x}, labels, np.arange(len(labels)).astype(str))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_share_that_shows_its_class_is_recognised_and_classes_weigh_the_same(rng):
    # b shows a in 30 of 40 images, c is what it should be, a is not in the set.
    made = images(rng, 0, 40, 20, of=["a"] * 30 + ["b"] * 10 + ["c"] * 20)
    rows = recognition.compare(Sides(images(rng, 60, 40, 20), made, images(rng, 20, 20, 20)))
    by_class = {row["class"]: row for row in rows}
    assert list(by_class) == ["", "b", "c"]
    assert by_class["b"]["value"] == by_class["b"]["matched"] == pytest.approx(1 / 4, abs=0.03)
    assert (by_class["b"]["low"], by_class["b"]["high"]) == pytest.approx(wilson(10, 40), abs=0.03)
    assert by_class["c"]["value"] == 1
    assert by_class[""]["value"] == pytest.approx((by_class["b"]["value"] + by_class["c"]["value"]) / 2)
    assert by_class[""]["low"] < by_class[""]["value"] < by_class[""]["high"]
    assert by_class[""]["classes"] == ("b", "c")
    assert all(row["floor"] > 0.95 for row in rows)


def test_the_interval_of_the_mean_is_as_wide_as_that_of_independent_shares(rng):
    made = images(rng, 400, 400, 400, of=np.repeat(["a", "b", "b", "c", "c", "a"], 200))
    overall = recognition.compare(Sides(images(rng, 60, 60, 60), made, images(rng, 9, 9, 9)))[0]
    assert overall["high"] - overall["low"] == pytest.approx(2 * 1.96 * np.sqrt(3 * 0.25 / 400) / 3, rel=0.02)


def test_a_rare_class_is_not_given_up(rng):
    # Where 200 of a and 20 of b overlap, unweighted training calls nearly all a.
    def near(a, b):
        labels = np.repeat(["a", "b"], [a, b])
        return Images({"x": rng.normal(labels == "b", 1)[:, None]}, labels, labels)

    rows = recognition.compare(Sides(near(400, 40), near(200, 200), near(20, 20)))
    shares = {row["class"]: row["value"] for row in rows}
    assert shares["a"] == pytest.approx(shares["b"], abs=0.15)


def test_a_set_without_images_has_no_rows(rng):
    assert recognition.compare(Sides(images(rng, 9, 9, 9), images(rng, 0, 0, 0), images(rng, 3, 3, 3))) == []

import numpy as np
import pytest

from sonosynth.fidelity.comparison import DRAWS, LARGEST, Images, Sides, compare, in_common
from sonosynth.fidelity.distances import frechet_distance


def images(values, labels="", size=1):
    """Images of which one number is known each, in groups of `size`."""
    return Images({"x": values}, np.broadcast_to(labels, len(values)), (np.arange(len(values)) // size).astype(str))


def shift(real, other):
    return {"shift": float(other["x"].mean() - real["x"].mean())}


@pytest.mark.parametrize(("n", "m"), [(200, 400), (5 * LARGEST, 3 * LARGEST), (40, 8 * LARGEST)])
def test_the_interval_of_a_difference_of_means_is_the_one_in_closed_form(n, m):
    rng = np.random.default_rng(0)
    real, other = (rng.normal(0, deviation, count) for deviation, count in ((2, n), (1, m)))
    sides = Sides(images(real), images(other), images(rng.normal(0, 2, 50)))
    rows = [compare(shift, sides, np.random.default_rng(s))[0] for s in range(12)]
    width = np.mean([row["high"] - row["low"] for row in rows])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(real.var() / n + other.var() / m), rel=0.12)
    assert rows[0]["value"] == pytest.approx(other.mean() - real.mean())
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_the_interval_of_the_excess_is_the_one_in_closed_form():
    # The training images, which both are compared with, cancel out.
    rng = np.random.default_rng(0)
    made, held_out = rng.normal(3, 1, 400), rng.normal(0, 2, 60)
    sides = Sides(images(rng.normal(0, 5, 300)), images(made), images(held_out))
    rows = [compare(shift, sides, np.random.default_rng(s))[0] for s in range(12)]
    width = np.mean([row["excess_high"] - row["excess_low"] for row in rows])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(made.var() / 400 + held_out.var() / 60), rel=0.12)
    middle = np.mean([row["excess_high"] + row["excess_low"] for row in rows]) / 2
    assert middle == pytest.approx(made.mean() - held_out.mean(), abs=0.1)


def test_four_images_of_a_patient_that_look_alike_count_as_one():
    rng = np.random.default_rng(0)
    real, made, held_out = (rng.normal(0, 1, n).repeat(4) for n in (60, 80, 50))
    sides = Sides(*(images(x, size=4) for x in (real, made, held_out)))
    rows = [compare(shift, sides, np.random.default_rng(s))[0] for s in range(12)]
    value = np.mean([row["high"] - row["low"] for row in rows])
    assert value == pytest.approx(2 * 1.96 * np.sqrt(real.var() / 60 + made.var() / 80), rel=0.12)
    excess = np.mean([row["excess_high"] - row["excess_low"] for row in rows])
    assert excess == pytest.approx(2 * 1.96 * np.sqrt(made.var() / 80 + held_out.var() / 50), rel=0.12)


def test_matched_and_floor_have_the_same_number_of_images_of_each_class():
    seen = []

    def counts(real, other):
        seen.append(tuple(int((side["x"] == k).sum()) for side in (real, other) for k in range(3)))
        return {"count": float(len(other["x"]))}

    labels = np.array(["a", "b", "c"])
    sides = Sides(
        *(images(np.repeat(np.arange(3.0), n), labels.repeat(n)) for n in ((50, 9, 8), (0, 40, 30), (7, 8, 6)))
    )
    (row,) = compare(counts, sides, np.random.default_rng(0))
    assert (row["value"], row["matched"], row["floor"], row["n_matched"]) == (70, 14, 14, 14)
    assert row["classes"] == ("b", "c")
    assert seen[0] == (50, 9, 8, 0, 40, 30)
    assert seen.count((0, 8, 6, 0, 8, 6)) == 2 * DRAWS


def test_no_more_images_are_drawn_than_cost_allows():
    many = images(np.zeros(6 * LARGEST), np.array(["a", "b"]).repeat(3 * LARGEST))
    assert in_common(many, many) == {"a": LARGEST / 2, "b": LARGEST / 2}
    seen = set()

    def count(real, other):
        seen.add((len(real["x"]), len(other["x"])))
        return {"count": 0.0}

    compare(count, Sides(many, many, many), np.random.default_rng(0))
    assert seen == {(6 * LARGEST, 6 * LARGEST), (LARGEST, LARGEST)}


def test_held_out_real_images_in_another_mix_of_classes_are_at_the_floor():
    rng = np.random.default_rng(0)
    centres = {"a": np.zeros(8), "b": np.full(8, 2.0), "c": np.full(8, -3.0)}

    def real(**counts):
        x = np.concatenate([rng.normal(centres[label], 1, (n, 8)) for label, n in counts.items()])
        return images(x, np.repeat(list(counts), list(counts.values())))

    def distance(one, other):
        return {"frechet": frechet_distance(one["x"], other["x"])}

    sides = Sides(real(a=400, b=200, c=100), real(b=180, c=250), real(a=100, b=50, c=25))
    (row,) = compare(distance, sides, np.random.default_rng(0))
    assert row["value"] > 5 * row["floor"]
    assert row["matched"] == pytest.approx(row["floor"], rel=0.3)
    assert row["excess_low"] < 0 < row["excess_high"]


def test_what_has_no_class_in_common_has_no_distance_at_equal_counts():
    sides = Sides(images(np.ones(5), "a"), images(np.ones(5), "b"), images(np.ones(5), "a"))
    (row,) = compare(
        lambda _, other: {"x": other["x"].sum() if len(other["x"]) else np.nan}, sides, np.random.default_rng(0)
    )
    assert (row["value"], row["n_matched"], row["classes"]) == (5, 0, ())
    assert np.isnan([row[name] for name in ("matched", "floor", "excess_low", "excess_high")]).all()

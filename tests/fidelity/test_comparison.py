import numpy as np
import pytest

from sonosynth.fidelity.comparison import LARGEST, compare


def shift(real, other):
    return {"shift": float(other["x"].mean() - real["x"].mean())}


@pytest.mark.parametrize(("n", "m"), [(200, 400), (5 * LARGEST, 3 * LARGEST), (40, 8 * LARGEST)])
def test_the_interval_of_a_difference_of_means_is_the_one_in_closed_form(n, m):
    rng = np.random.default_rng(0)
    real, other = ({"x": rng.normal(0, deviation, count)} for deviation, count in ((2, n), (1, m)))
    rows = [compare(shift, real, other, {"x": rng.normal(0, 2, 50)}, np.random.default_rng(s))[0] for s in range(12)]
    width = np.mean([row["high"] - row["low"] for row in rows])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(real["x"].var() / n + other["x"].var() / m), rel=0.12)
    assert rows[0]["value"] == pytest.approx(other["x"].mean() - real["x"].mean())
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows)


def test_matched_and_floor_are_of_the_same_count():
    seen = []

    def counts(real, other):
        seen.append((len(real["x"]), len(other["x"])))
        return {"count": float(len(other["x"])), "level": float(other["x"].mean())}

    real, other, held_out = ({"x": np.full(n, value)} for n, value in ((100, 0.0), (90, 3.0), (30, 5.0)))
    count, level = compare(counts, real, other, held_out, np.random.default_rng(0))
    assert (count["value"], count["matched"], count["floor"], count["n_matched"]) == (90, 30, 30, 30)
    assert (level["value"], level["matched"], level["floor"]) == (3, 3, 5)
    assert set(seen) == {(100, 90), (50, 45), (100, 30)}
    seen.clear()
    many = {"x": np.zeros(3 * LARGEST)}
    compare(counts, many, many, many, np.random.default_rng(0))
    assert set(seen) == {(3 * LARGEST, 3 * LARGEST), (LARGEST, LARGEST)}

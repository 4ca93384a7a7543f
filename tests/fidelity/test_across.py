import numpy as np
import pandas as pd
import pytest

from sonosynth.fidelity import across
from sonosynth.fidelity.comparison import Images, Sides


def sides(moved):
    """Two real classes 4 apart along one of 6 axes; the images of the set are moved, by class."""
    rng = np.random.default_rng(0)

    def side(n, moved):
        labels = np.repeat(["benign", "malignant"], n)
        places = np.zeros((2 * n, 6))
        places[n:, 0] = 4
        for label, by in moved.items():
            places[labels == label] += by
        return Images({"features": rng.normal(places, 1)}, labels, np.arange(2 * n).astype(str))

    return Sides(side(80, {}), side(90, moved), side(40, {}))


def table(moved):
    return pd.DataFrame(across.compare(sides(moved), "embedded")).assign(set="sd", features="embedded")


def test_distances_stand_beside_those_of_real_images_at_equal_counts():
    rows = table({"malignant": [3, 0, 0, 0, 0, 0]})
    assert set(rows["metric"]) == {"frechet", "kernel"}
    assert len(rows) == 8 and (rows["n_matched"] == 40).all()
    frechet = rows[rows["metric"] == "frechet"].set_index(["class", "against"])
    # Means that are d apart add d^2; the rest is what few images cost, on both sides.
    excess = frechet["matched"] - frechet["floor"]
    assert excess["malignant", "benign"] == pytest.approx(7**2 - 4**2, abs=5)
    assert excess["malignant", "malignant"] == pytest.approx(3**2, abs=3)
    assert excess["benign", "malignant"] == pytest.approx(0, abs=4)
    assert frechet["excess_low"]["benign", "malignant"] < 0 < frechet["excess_low"]["malignant", "benign"]


@pytest.mark.parametrize(
    ("moved", "found"),
    [
        ({"malignant": [3, 0, 0, 0, 0, 0]}, [("malignant", "benign")]),
        (
            {"malignant": [2, 0, 0, 0, 0, 0], "benign": [-2, 0, 0, 0, 0, 0]},
            [("benign", "malignant"), ("malignant", "benign")],
        ),
        ({}, []),
        ({"malignant": [-1, 0, 5, 0, 0, 0]}, []),
        ({"malignant": [-2, 0, 0, 0, 0, 0]}, []),
    ],
    ids=["further away", "both ways", "real", "unlike real images, but no further from the other class", "nearer"],
)
def test_a_caricature_has_moved_away_from_another_class(moved, found):
    caricatures = across.caricatures(table(moved))
    assert [(one.label, one.against) for one in caricatures] == found
    assert all(one.distance > one.real_distance and one.set == "sd" for one in caricatures)


def test_a_set_without_images_has_no_rows():
    full = sides({})
    assert across.compare(Sides(full.train, full.made.choose(slice(0, 0)), full.held_out), "x") == []

"""How near real images are to each other."""

import numpy as np
import pytest

from sonosynth.fidelity.nearness import SHARE, Floor, floors


def test_the_floor_is_a_low_quantile_of_the_distances_to_the_nearest_unrelated_image_of_the_class():
    line = np.concatenate([np.cumsum(np.arange(1, 101)), [1e6, 1e6 + 0.5]])[:, None]
    labels = np.array(["a"] * 100 + ["b"] * 2)
    found = floors(line, labels, np.arange(102))
    assert found == {"a": Floor(5.0, 99), "b": Floor(0.5, 1)}  # the nearest of a's: 2, 2, 3, 4, 5, ...
    related = np.where(np.arange(102) == 5, 0, np.arange(102))
    related[[1, 2, 3, 4]] = 0  # the first six are one patient's: 27, 25, 22, 18, 13, 7, 7, 8, 9, 10, ...
    assert floors(line, labels, related)["a"] == Floor(10.0, 99)
    nobody_knows = floors(line, labels, np.where(labels == "b", 200, np.arange(102)))["b"]  # one patient
    assert nobody_knows == Floor(0.0, 0)


def test_as_many_images_of_the_same_kind_are_rarely_below_the_floor():
    rng = np.random.default_rng(0)
    real, made, narrow = rng.normal(size=(400, 8)), rng.normal(size=(400, 8)), 0.3 * rng.normal(size=(400, 8))
    floor = floors(real, np.full(400, "a"), np.arange(400))["a"].distance

    def below(features):
        distances = np.linalg.norm(features[:, None] - features, axis=2) + np.where(np.eye(400), np.inf, 0)
        return float((distances.min(axis=1) < floor).mean())

    assert below(real) == pytest.approx(SHARE, abs=0.01)
    assert below(made) < 2 * SHARE
    assert below(narrow) > 0.9

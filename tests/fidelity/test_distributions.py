import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from sonosynth.fidelity.distributions import wasserstein


def test_the_area_between_two_distributions_is_scipys_distance():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.integers(-1, 2, (11, 3)).astype(float)  # with ties
    expected = [wasserstein_distance(x, y) for x, y in zip(a.T, b.T, strict=True)]
    assert wasserstein(a, b) == pytest.approx(expected, rel=1e-12)

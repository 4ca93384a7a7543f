"""How far the values of two sets of images are apart, as distributions over images."""

from collections.abc import Mapping, Sequence

import numpy as np


def distances(
    real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, float]:  # fmt: skip
    """How far the values `names` of other images lie from those of real ones: one number for each, and their "mean".

    Wasserstein-1 distance of the two distributions over images, in standard deviations of the real ones; of values with
    several columns, its mean over these. NaN where fewer than two images on either side have the value.
    """
    found = {name: _distance(real[name], other[name]) for name in names}
    return found | {"mean": float(np.mean(list(found.values())))}


def _distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    real, synthetic = (np.column_stack([values]) for values in (real, synthetic))
    real, synthetic = (values[np.isfinite(values).all(axis=1)] for values in (real, synthetic))
    if min(len(real), len(synthetic)) < 2 or not (deviation := real.std(axis=0)).all():
        return float("nan")
    return float((wasserstein(real, synthetic) / deviation).mean())


def wasserstein(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Wasserstein-1 distance (D,) of each column of a (N, D) and b (M, D): the area between their distributions."""
    both = np.concatenate([a, b])
    order = both.argsort(axis=0)
    gaps = np.diff(np.take_along_axis(both, order, axis=0), axis=0)
    steps = np.where(order < len(a), 1 / len(a), -1 / len(b))
    distance: np.ndarray = (np.abs(steps.cumsum(axis=0)[:-1]) * gaps).sum(axis=0)
    return distance

"""How near real images of a class are to each other: the floor under distances within a synthetic set."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

SHARE = 0.05
"""Of the real images of a class, those that are nearer to another one than the floor."""


@dataclass(frozen=True)
class Floor:
    """distance: how near an image may come. others: to how many others, since the nearest of more is nearer."""

    distance: float
    others: int


def floors(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, Floor]:
    """For each class, the `SHARE` quantile of the distances of its images to their nearest unrelated neighbours in it.

    So of images that are as diverse as the real ones, about that share is below the floor, if each is compared with as
    many. It is 0 where no two images of a class are known to be unrelated.

    Args:
        features: (N, D), whose distances are Euclidean, as for precision and recall (Kynkäänniemi et al., NeurIPS
            2019). labels: (N,), the class of each. groups: (N,) int, one number for images of one patient, and for
            near-duplicates.
    """
    found = {}
    for label in np.unique(labels):
        rows = labels == label
        distances = cdist(features[rows].astype(np.float64), features[rows].astype(np.float64))
        distances[groups[rows][:, None] == groups[rows]] = np.inf
        nearest = distances.min(axis=1)
        known = nearest[np.isfinite(nearest)]
        floor = float(np.quantile(known, SHARE, method="lower")) if len(known) else 0.0
        found[str(label)] = Floor(floor, int(np.median(np.isfinite(distances).sum(axis=1))))
    return found

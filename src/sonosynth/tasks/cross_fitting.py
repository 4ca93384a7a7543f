"""Cross-fitting: of several models, each is trained without one part of the real training images.

So there is one that can judge an image without knowing what it was made from.
"""

from collections.abc import Mapping, Sequence

import numpy as np

FOLDS = 3


def strangers(folds: Mapping[str, int], origins: Sequence[frozenset[str]]) -> np.ndarray:
    """Which models know none of the real images that each of N images was made from: (`FOLDS`, N) bool.

    All of them, for an image of which every model knows some.

    Args:
        folds: of each real image that models were trained on, by its SHA-256, the number of the one that was not.
        origins: of the N images.
    """
    known = [[folds.get(one) for one in own] for own in origins]
    found = np.array([[all(fold in (None, n) for fold in own) for own in known] for n in range(FOLDS)], bool)
    found = found.reshape(FOLDS, len(origins))
    return found | ~found.any(axis=0)

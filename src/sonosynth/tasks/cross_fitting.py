"""Cross-fitting: of several models, each is trained without one part of the real training images.

So there is one that can judge an image without knowing what it was made from.
"""

from collections.abc import Mapping, Sequence

import numpy as np

FOLDS = 3


def strangers(folds: Mapping[str, int], origins: Sequence[frozenset[str]]) -> np.ndarray:
    """Which models know none of the real images that each of N images was made from: (`FOLDS`, N) bool.

    Args:
        folds: of each real image that models were trained on, by its SHA-256, the number of the one that was not.
        origins: of the N images.
    """
    known = [[folds.get(one) for one in own] for own in origins]
    found = np.array([[all(fold in (None, n) for fold in own) for own in known] for n in range(FOLDS)], bool)
    return found.reshape(FOLDS, len(origins))


def judges(
    folds: Mapping[str, int], origins: Sequence[frozenset[str]], further: Sequence[frozenset[str]] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Which models judge each of N images, (`FOLDS`, N) bool, and whether these know none of what it comes from, (N,).

    They are the strangers to its origins and `further` ones, say those of its mask. Where every model knows some, they
    are the strangers to its origins alone, and all where every model knows some of these.
    """
    every = [own | others for own, others in zip(origins, further or [frozenset[str]()] * len(origins), strict=True)]
    unaware, found = strangers(folds, every), strangers(folds, origins)
    clean = np.any(unaware, axis=0)
    return np.where(clean, unaware, found | ~found.any(axis=0)), clean

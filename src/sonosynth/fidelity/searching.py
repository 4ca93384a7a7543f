"""The search for copies of training images, on arrays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sonosynth.fidelity import copies
from sonosynth.fidelity.networks import EMBEDDED, features


def find_copies(
    images: np.ndarray, labels: Sequence[str], training: np.ndarray, training_labels: Sequence[str], *,
    groups: Sequence[str] | None = None, network: str = EMBEDDED,
) -> pd.DataFrame:  # fmt: skip
    """The training image nearest to each of N images, and whether that makes the image a copy.

    An image is a `copy` if it is nearer to a training image than training images of its class are to those of other
    groups (thresholds that flag 5% of these), and `verbatim` if it correlates above 0.9. Use it for images that a
    generator made from noise: what was made from a training image is meant to resemble it.

    Args:
        images: (N, H, W) uint8 grey.
        labels: their N classes.
        training: (M, H, W) uint8 grey, what the generator was trained on.
        training_labels: their M classes.
        groups: the patient of each training image; absent: each image stands alone. Near-duplicates of different
            groups raise the thresholds, so that copies are missed.
        network: as in `features`.

    Returns:
        One row per image: `nearest`, the position of the nearest training image by `correlation` (-1 to 1, of 64 x 64
        pixels over flips, small shifts, rotations and zooms), `nearest_by_features` by `cosine`, `copy`, `verbatim`.

    Raises:
        ValueError: if shapes and lengths don't fit, or a label has no training image.
        UserError: if the network is not available.
    """
    alone = [str(position) for position in range(len(training))]
    given = np.unique(alone if groups is None else groups, return_inverse=True)[1]
    if (len(labels), len(training_labels), len(given)) != (len(images), len(training), len(training)):
        raise ValueError("labels and groups need one entry for each image")
    if unknown := sorted({*labels} - {*training_labels}):
        raise ValueError(f"there is no training image of {', '.join(unknown)}")
    made, known = (copies.Images(pixels, features(pixels, network)) for pixels in (images, training))
    limits = copies.thresholds(
        copies.nearest_unrelated(known, known, given[:, None], given), np.asarray(training_labels, str)
    )  # fmt: skip
    return copies.table(copies.nearest(made, known), labels, limits)

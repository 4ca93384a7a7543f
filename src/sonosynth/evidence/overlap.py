"""How well a predicted mask fits a reference: over all pixels, along the outline, and lesion by lesion.

Of an image without a lesion, the overlap of two empty masks is 0/0. Whatever number stands for it, say 1, and 0 as soon
as one pixel is predicted, decides the mean over images more than the outlines do (on empty references: Reinke et al.,
Nature Methods 2024, "Understanding metric-related pitfalls in image analysis validation"). So Dice and HD95 are NaN
there, as in MONAI (`ignore_empty`), and false alarms are counted lesion by lesion, as is recommended for detection
(Metrics Reloaded, Maier-Hein et al., Nature Methods 2024).
"""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy import ndimage, optimize

TOUCHING = np.ones((3, 3))  # pixels are of one lesion if they touch, at corners too
FOUND = 0.1  # intersection over union from which a lesion counts as found, as in nnDetection (Baumgartner et al. 2021)
PERCENTILE = 95


class Lesions(NamedTuple):
    """Lesions of one image: reference ones, how many of them are found, and predicted ones that are none of them."""

    reference: int
    found: int
    false: int


def dice(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Dice of masks (H, W), 0 to 1: 2 |A and B| / (|A| + |B|); NaN if the reference is empty."""
    reference, predicted = _masks(reference, predicted)
    if not reference.any():
        return float("nan")
    return float(2 * (reference & predicted).sum() / (reference.sum() + predicted.sum()))


def hd95(reference: np.ndarray, predicted: np.ndarray) -> float:
    """95% Hausdorff distance of the outlines of masks (H, W), pixels.

    Of the distances from the pixels of each outline to the other outline, the 95th percentile, and of the two the
    larger, as in MONAI (medpy takes the percentile of both together). The outline of a mask is its pixels that have a
    side in common with a pixel outside it or with the edge of the image. If nothing is predicted, it is the diagonal of
    the image, the worst there is: left out, a missed lesion would improve the mean. NaN if the reference is empty.
    """
    reference, predicted = _masks(reference, predicted)
    if not reference.any():
        return float("nan")
    if not predicted.any():
        return float(np.hypot(*reference.shape))
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (reference, predicted)]
    away = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    return float(max(np.percentile(away[1 - k][outlines[k]], PERCENTILE) for k in (0, 1)))


def lesions(reference: np.ndarray, predicted: np.ndarray) -> Lesions:
    """Lesions, that is, connected parts of masks (H, W): found are those matched one to one with an IoU of `FOUND`.

    Of all ways of matching them, the one with the largest sum of IoUs is taken.
    """
    parts = [ndimage.label(mask, TOUCHING) for mask in _masks(reference, predicted)]
    (of_reference, n), (of_predicted, m) = parts
    shared = np.zeros((n + 1, m + 1))
    np.add.at(shared, (of_reference, of_predicted), 1)
    union = shared.sum(axis=1)[1:, None] + shared.sum(axis=0)[1:] - shared[1:, 1:]
    iou = shared[1:, 1:] / union
    iou[iou < FOUND] = 0
    matched = optimize.linear_sum_assignment(iou, maximize=True)
    found = int((iou[matched] > 0).sum())
    return Lesions(n, found, m - found)


def exchanged(references: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean Dice of each of N predicted masks (N, H, W) with the references of others: (N,), 0 to 1.

    Others are of the same label (N,), show a lesion, and differ from its own. NaN if its own is empty, or there are no
    others.
    """
    flat, seen = (
        x.reshape(len(x), np.prod(x.shape[1:], dtype=int)).astype(np.float32) for x in (references, predicted)
    )
    sizes, found = flat.sum(axis=1), np.full(len(flat), np.nan)
    contents = np.array([hashlib.sha256(mask.tobytes()).hexdigest() for mask in references], str)
    for label in np.unique(labels[sizes > 0]):
        rows = np.flatnonzero((labels == label) & (sizes > 0))
        overlap = 2 * seen[rows] @ flat[rows].T / (seen[rows].sum(axis=1)[:, None] + sizes[rows])
        others = contents[rows][:, None] != contents[rows]
        counts = others.sum(axis=1)
        found[rows[counts > 0]] = (overlap * others).sum(axis=1)[counts > 0] / counts[counts > 0]
    return found


def _masks(reference: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    reference, predicted = np.asarray(reference, bool), np.asarray(predicted, bool)
    if reference.shape != predicted.shape or reference.ndim != 2:
        raise ValueError(f"masks {reference.shape} and {predicted.shape}; two of one shape (H, W) are expected")
    return reference, predicted

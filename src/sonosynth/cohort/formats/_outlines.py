"""Segmentations of COCO: polygons, and run lengths, as text or as numbers."""

from typing import Any

import numpy as np

from sonosynth.cohort.decoding import Unusable
from sonosynth.cohort.formats._values import check_size


def drawn(segmentations: list[Any], height: int, width: int) -> np.ndarray:
    """(H, W) bool: what any of the segmentations covers.

    Raises:
        Unusable: if one is neither a list of polygons nor run lengths of this size.
    """
    check_size(height, width)
    union = np.zeros((height, width), bool)
    for one in segmentations:
        try:
            if isinstance(one, dict):
                union |= _runs(one["counts"], list(one["size"]), height, width)
            else:
                for polygon in one:
                    _fill(union, np.asarray(polygon, float).reshape(-1, 2))
        except (TypeError, ValueError, KeyError, OverflowError):
            raise Unusable("has a segmentation that is neither polygons nor run lengths of its size") from None
    return union


def _fill(canvas: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels (H, W) whose centres lie in a polygon of corners (N, 2), x and y of the image, even-odd."""
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError
    height, width = canvas.shape
    (x, y), (after_x, after_y) = corners.T, np.roll(corners, -1, 0).T
    top, bottom = (int(np.clip(np.ceil(end - 0.5), 0, height)) for end in (y.min(), y.max()))
    for row in range(top, bottom):
        crossed = (y <= row + 0.5) != (after_y <= row + 0.5)
        shares = (row + 0.5 - y[crossed]) / (after_y[crossed] - y[crossed])
        ends = np.sort(x[crossed] + shares * (after_x[crossed] - x[crossed]))
        columns = np.clip(np.ceil(ends - 0.5), 0, width).astype(int)
        for left, right in columns.reshape(-1, 2):
            canvas[row, left:right] = True


def _runs(counts: Any, size: list[Any], height: int, width: int) -> np.ndarray:
    """(H, W) bool: lengths of runs of 0, 1, 0, … down the columns, one after the other."""
    lengths = np.asarray(_numbers(counts) if isinstance(counts, str) else counts, np.int64)
    if size != [height, width] or lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def _numbers(text: str) -> list[int]:
    """COCO's compressed run lengths (rleFrString in pycocotools' maskApi.c).

    Each number is a series of groups of 5 bits, the least first, with a sixth bit where more follow, and the sign of
    the last one extended; from the fourth number on, it is the difference from the one two before.
    """
    found: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 40:
            raise ValueError
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) and 1 << shift
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    return found

"""How alike two images are at the best flip, small shift, turn and zoom between them.

All images are compared roughly; what is then worth comparing closely is a short list for each.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 64  # pixels of the reduced image: speckle is averaged away, anatomy is not
MARGIN = 6  # pixels around what is compared: room for shifts, and for what rotation leaves empty
SHIFTS = range(-4, 5, 2)
TURNS = (-4.0, 0.0, 4.0)
ZOOMS = (1.0, 0.93)
SHORTLIST = 16  # images that are compared at all rotations, zooms and shifts
BLOCK = 256  # images that are compared at a time
COMPONENTS = 128  # of 676, for the shortlist
TREND = 4.0
"""Pixels: standard deviation of the Gaussian blur that is subtracted. Ultrasound images are bright at the top and dark
below: without this, unrelated images correlate at 0.8 (median nearest neighbour of BUSI; 0.3 with it)."""


@dataclass(frozen=True)
class Shortlist:
    """The references that are most similar to each of N queries, by a rough correlation.

    rows: (N, SHORTLIST or less) positions of references. scores: (N, the same) their correlations, -2 where none is
    left. typical: (N,) upper quartile of a query's correlations with all references.
    """

    rows: np.ndarray
    scores: np.ndarray
    typical: np.ndarray


def shrink(image: np.ndarray) -> np.ndarray:
    """An image (H, W) uint8 at (SIDE, SIDE), each pixel the mean of those that it replaces."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))


def detailed(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Shrunk images (N, SIDE, SIDE) as float32, without slow trends of brightness."""
    found = np.array(images, np.float32)
    for start in range(0, len(found), BLOCK):  # so that no second array of all images is held
        some = found[start : start + BLOCK]
        some -= ndimage.gaussian_filter(some, (0, TREND, TREND))
    return found


def shortlist(
    queries: np.ndarray, references: np.ndarray, groups: np.ndarray, reference_groups: np.ndarray
) -> Shortlist:
    """The references (M, SIDE, SIDE) of other groups that are most similar to each of the queries (N, SIDE, SIDE).

    By their principal components at half the resolution, with fewer rotations and shifts: a near-duplicate stands far
    above unrelated images, so it is among these, and the work that grows with both counts is a thousandth of the whole.

    Args:
        groups: (N, G) int, those that a query belongs to. reference_groups: (M,) int.
    """
    count, quarter = min(SHORTLIST, len(references)), 3 * len(references) // 4
    queries, references = (x.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)) for x in (queries, references))
    middle = next(_windows(references, MARGIN // 2, (0,)))
    basis = np.linalg.eigh(middle.T @ middle)[1][:, -COMPONENTS:]
    windows = [window @ basis for window in _windows(references, MARGIN // 2, range(-2, 3, 2))]
    templates = [template @ basis for template in _templates(queries, MARGIN // 2, (1.0,))]
    found = Shortlist(*(np.empty(shape, kind) for shape, kind in (
        ((len(queries), count), int), ((len(queries), count), np.float32), (len(queries), np.float32),
    )))  # fmt: skip
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        best = np.full((len(queries[rows]), len(references)), -1, np.float32)
        for template in templates:
            for window in windows:
                np.maximum(best, template[rows] @ window.T, out=best)
        best[related(groups[rows], reference_groups)] = -2
        order = np.argpartition(best, (quarter, len(references) - count), axis=1)
        found.rows[rows] = order[:, -count:]
        found.scores[rows] = np.take_along_axis(best, found.rows[rows], axis=1)
        found.typical[rows] = np.take_along_axis(best, order[:, quarter, None], axis=1)[:, 0]
    return found


def related(groups: np.ndarray, reference_groups: np.ndarray) -> np.ndarray:
    """Which references (M,) are of one of the groups (N, G) of each query: (N, M) bool."""
    same: np.ndarray = (groups[:, :, None] == reference_groups).any(axis=1)
    return same


def correlations(query: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The correlation (M,) of one query with each reference at the best flip, shift, rotation and zoom.

    Second, whether that flip is a mirror image (M,) bool.
    """
    templates = np.concatenate(list(_templates(query[None], MARGIN, ZOOMS)))
    best = np.max([window @ templates.T for window in _windows(references, MARGIN, SHIFTS)], axis=0)
    return best.max(axis=1), best.argmax(axis=1) % 2 == 1


def unit(images: np.ndarray) -> np.ndarray:
    """Images (N, ...) as rows (N, D) of mean 0 and norm 1, or all 0 where they are constant."""
    flat = images.reshape(len(images), math.prod(images.shape[1:]))  # there may be no image
    centred = flat - flat.mean(axis=1, keepdims=True)
    scaled: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return scaled


def _windows(images: np.ndarray, margin: int, shifts: Iterable[int]) -> Iterator[np.ndarray]:
    """The inner parts of `images` (N, H, H), at all shifts, as rows of norm 1: each (N, (H - 2 margin)^2)."""
    side = images.shape[1]
    for down, across in product(shifts, repeat=2):
        yield unit(images[:, margin + down : side - margin + down, margin + across : side - margin + across])


def _templates(images: np.ndarray, margin: int, zooms: Iterable[float]) -> Iterator[np.ndarray]:
    """The same of `images` at all rotations and zooms, each followed by its mirror image."""
    for turn, zoom in product(TURNS, zooms):
        inner = _warped(images, turn, zoom)[:, margin:-margin, margin:-margin]
        yield unit(inner)
        yield unit(inner[:, :, ::-1])


def _warped(images: np.ndarray, turn: float, zoom: float) -> np.ndarray:
    """`images` (N, H, W) rotated by `turn` degrees and enlarged by `zoom` about their centre."""
    angle = np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    centre = (np.array(images.shape[1:]) - 1) / 2
    offset = centre - matrix @ centre
    return np.stack([ndimage.affine_transform(x, matrix, offset, order=1, mode="nearest") for x in images])

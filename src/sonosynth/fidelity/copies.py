"""Copies: synthetic images that reproduce a training image.

A generator adapted to a few hundred images can reproduce them, flipped or slightly rotated. Such an image adds nothing
to a training set, can't be shared as synthetic, and every fidelity measure rewards it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 64
MARGIN = 6  # pixels around what is compared: room for shifts, and for what rotation leaves empty
SHIFTS = range(-4, 5, 2)
TURNS = (-4.0, 0.0, 4.0)
ZOOMS = (1.0, 0.93)
SHORTLIST = 16  # training images that are compared at all rotations, zooms and shifts
BLOCK = 256  # images that are compared at a time
COMPONENTS = 128  # of 676, for the shortlist
TREND = 4.0
"""Pixels: standard deviation of the Gaussian blur that is subtracted. Ultrasound images are bright at the top and dark
below: without this, unrelated images correlate at 0.8 (median nearest neighbour of BUSI; 0.3 with it)."""
FALSE_POSITIVE_RATE = 0.05
"""Share of real images that may be flagged."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training images of N images.

    correlation (N,), of image `by_correlation` (N,) at 64 pixels over flips, small shifts, rotations and zooms;
    cosine (N,), of image `by_cosine` (N,), of the features minus the training mean.
    """

    correlation: np.ndarray
    by_correlation: np.ndarray
    cosine: np.ndarray
    by_cosine: np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """Values above which an image counts as a copy."""

    correlation: float
    cosine: float


@dataclass(frozen=True)
class Images:
    """N images: pixels (N, H, W) uint8, and features (N, D)."""

    pixels: np.ndarray
    features: np.ndarray


def nearest(images: Images, train: Images) -> Nearest:
    """The nearest of the training images to each of `images`."""
    return _nearest(images, train, np.full(len(images.pixels), -1), np.arange(len(train.pixels)))


def nearest_unrelated(train: Images, groups: np.ndarray) -> Nearest:
    """The nearest training image of another group to each training image.

    Args:
        groups: (M,) int, one number for images of one patient, and for near-duplicates. If all images are
            of an image's own group, its correlation and cosine are -1.
    """
    return _nearest(train, train, groups, groups)


def _nearest(images: Images, train: Images, groups: np.ndarray, train_groups: np.ndarray) -> Nearest:
    """The nearest training image of another group: groups (N,) and train_groups (M,) int."""
    queries, references = _reduced(images.pixels), _reduced(train.pixels)
    likely = _shortlist(queries, references, groups, train_groups)
    correlation, by_correlation = np.full(len(queries), -1.0), np.zeros(len(queries), int)
    for i, rows in enumerate(likely):
        rows = rows[train_groups[rows] != groups[i]]  # noqa: PLW2901 (fewer of the same)
        if len(rows):
            alike = _alike(queries[i], references[rows])
            correlation[i], by_correlation[i] = alike.max(), rows[alike.argmax()]
    mean = train.features.astype(np.float64).mean(axis=0)
    made, known = (_scaled(x.features.astype(np.float64) - mean) for x in (images, train))
    cosine, by_cosine = _nearest_rows(made, known, groups, train_groups)
    return Nearest(correlation, by_correlation, cosine, by_cosine)


def thresholds(unrelated: Nearest) -> Thresholds:
    """Thresholds that flag about `FALSE_POSITIVE_RATE` of real images unknown to the generator, half by each measure.

    Args:
        unrelated: of real images, each compared with images that are known to show something else. Images that the
            generator was trained on will do: what counts is how similar two different images are. Where there are none,
            as with a single patient, nothing is flagged.
    """
    share = 1 - FALSE_POSITIVE_RATE / 2
    known = unrelated.correlation > -1  # images that have an unrelated one
    if not known.any():
        return Thresholds(float("inf"), float("inf"))
    measured = (unrelated.correlation[known], unrelated.cosine[known])
    return Thresholds(*(float(np.quantile(x, share, method="higher")) for x in measured))


def flagged(found: Nearest, limits: Thresholds) -> np.ndarray:
    """Which of N images (N,) bool are nearer to a training image than real images are."""
    return (found.correlation > limits.correlation) | (found.cosine > limits.cosine)


def _reduced(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """(N, 64, 64) float32, without slow trends of brightness."""
    small = np.stack(
        [np.asarray(Image.fromarray(x).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) for x in images]
    )
    return small - ndimage.gaussian_filter(small, (0, TREND, TREND))


def _shortlist(
    queries: np.ndarray, references: np.ndarray, groups: np.ndarray, reference_groups: np.ndarray
) -> np.ndarray:
    """The positions (N, SHORTLIST or less) of the references that are most similar to each of N queries.

    By their principal components at half the resolution, with fewer rotations and shifts: a copy stands far above
    unrelated images, so it is among these, and the work that grows with both counts is a thousandth of the whole.
    """
    count = min(SHORTLIST, len(references))
    queries, references = (x.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4)) for x in (queries, references))
    middle = next(_windows(references, MARGIN // 2, (0,)))
    basis = np.linalg.eigh(middle.T @ middle)[1][:, -COMPONENTS:]
    windows = [window @ basis for window in _windows(references, MARGIN // 2, range(-2, 3, 2))]
    templates = [template @ basis for template in _templates(queries, MARGIN // 2, (1.0,))]
    likely = np.empty((len(queries), count), int)
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        best = np.full((len(queries[rows]), len(references)), -1, np.float32)
        for template in templates:
            for window in windows:
                np.maximum(best, template[rows] @ window.T, out=best)
        best[groups[rows, None] == reference_groups] = -2
        likely[rows] = np.argpartition(best, -count, axis=1)[:, -count:]
    return likely


def _alike(query: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The correlation (M,) of one query with each reference at the best flip, shift, rotation and zoom."""
    templates = np.concatenate(list(_templates(query[None], MARGIN, ZOOMS)))
    return np.max([(window @ templates.T).max(axis=1) for window in _windows(references, MARGIN, SHIFTS)], axis=0)


def _windows(images: np.ndarray, margin: int, shifts: Iterable[int]) -> Iterator[np.ndarray]:
    """The inner parts of `images` (N, H, H), at all shifts, as rows of norm 1: each (N, (H - 2 margin)^2)."""
    side = images.shape[1]
    for down, across in product(shifts, repeat=2):
        yield _unit(images[:, margin + down : side - margin + down, margin + across : side - margin + across])


def _templates(images: np.ndarray, margin: int, zooms: Iterable[float]) -> Iterator[np.ndarray]:
    """The same of `images` and their mirror images, at all rotations and zooms."""
    for mirrored, turn, zoom in product((images, images[:, :, ::-1]), TURNS, zooms):
        yield _unit(_warped(mirrored, turn, zoom)[:, margin:-margin, margin:-margin])


def _nearest_rows(
    queries: np.ndarray, references: np.ndarray, groups: np.ndarray, reference_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The largest product of each query row with a reference row of another group (N,), and its position (N,)."""
    found, place = np.empty(len(queries)), np.empty(len(queries), int)
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        products = queries[rows] @ references.T
        products[groups[rows, None] == reference_groups] = -1
        found[rows], place[rows] = products.max(axis=1), products.argmax(axis=1)
    return found, place


def _warped(images: np.ndarray, turn: float, zoom: float) -> np.ndarray:
    """`images` (N, H, W) rotated by `turn` degrees and enlarged by `zoom` about their centre."""
    angle = np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    centre = (np.array(images.shape[1:]) - 1) / 2
    offset = centre - matrix @ centre
    return np.stack([ndimage.affine_transform(x, matrix, offset, order=1, mode="nearest") for x in images])


def _unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    return _scaled(flat - flat.mean(axis=1, keepdims=True))


def _scaled(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return scaled

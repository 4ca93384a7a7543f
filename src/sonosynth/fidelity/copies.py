"""Copies: synthetic images that reproduce a training image.

A generator adapted to a few hundred images can reproduce them, flipped or slightly rotated. Such an image adds nothing
to a training set, can't be shared as synthetic, and every fidelity measure rewards it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sonosynth.cohort import alignment
from sonosynth.cohort.alignment import BLOCK, related

FALSE_POSITIVE_RATE = 0.05
"""Share of real images that may be flagged."""
FEWEST = 41  # training images of a class that has thresholds of its own: those of fewer would be their largest values
VERBATIM = 0.9
"""Correlation above which an image is a training image again, whatever else may be alike. Training images of BUSI
correlate with those of other groups at 0.54 at most; where all images have one frame or sector, at 0.7."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training images of N images.

    correlation (N,), of image `by_correlation` (N,) at 64 pixels over flips, small shifts, rotations and zooms;
    cosine (N,), of image `by_cosine` (N,), of the features minus the training mean. Both are -1 where there is none.
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
    return nearest_unrelated(images, train, np.full((len(images.pixels), 1), -1), np.arange(len(train.pixels)))


def nearest_unrelated(images: Images, train: Images, groups: np.ndarray, train_groups: np.ndarray) -> Nearest:
    """The nearest training image of another group to each of `images`.

    Args:
        groups: (N, G) int, the groups that each image belongs to or was made from, -1 for none. train_groups: (M,) int,
            one number for training images of one patient, and for near-duplicates.
    """
    queries, references = _distinct(images.pixels, train.pixels)
    likely = alignment.shortlist(queries, references, groups, train_groups)
    correlation, by_correlation = np.full(len(queries), -1.0), np.zeros(len(queries), int)
    for i, rows in enumerate(likely.rows):
        rows = rows[~related(groups[i : i + 1], train_groups[rows])[0]]  # noqa: PLW2901 (fewer of the same)
        if len(rows):
            alike, _ = alignment.correlations(queries[i], references[rows])
            correlation[i], by_correlation[i] = alike.max(), rows[alike.argmax()]
    mean = train.features.astype(np.float64).mean(axis=0)
    made, known = (_scaled(x.features.astype(np.float64) - mean) for x in (images, train))
    cosine, by_cosine = _nearest_rows(made, known, groups, train_groups)
    return Nearest(correlation, by_correlation, cosine, by_cosine)


def with_sources(pixels: np.ndarray, train: np.ndarray, sources: Sequence[Sequence[int]]) -> np.ndarray:
    """The largest correlation (N,) of each image with a training image that it was made from, NaN if with none.

    Args:
        pixels, train: (N, H, W) and (M, H, W) uint8. sources: N times the positions of training images.
    """
    found = np.full(len(pixels), np.nan)
    rows = [i for i, own in enumerate(sources) if own]
    if rows:
        queries, references = _distinct(pixels[rows], train)
        found[rows] = [
            alignment.correlations(query, references[list(sources[i])])[0].max()
            for i, query in zip(rows, queries, strict=True)
        ]
    return found


def thresholds(unrelated: Nearest, labels: np.ndarray) -> dict[str, Thresholds]:
    """Thresholds by class that flag about `FALSE_POSITIVE_RATE` of its real images, half by each measure.

    A class of fewer than `FEWEST` images has the thresholds of all images together.

    Args:
        unrelated: of real images, each compared with images that are known to show something else. Images that the
            generator was trained on will do: what counts is how similar two different images are. Where there are none,
            as with a single patient, the thresholds are infinite.
        labels: (N,), the class of each.
    """
    known = unrelated.correlation > -1  # images that have an unrelated one
    pooled = _limits(unrelated, known)
    own = {str(label): known & (labels == label) for label in np.unique(labels)}
    return {label: _limits(unrelated, rows) if rows.sum() >= FEWEST else pooled for label, rows in own.items()}


def _limits(unrelated: Nearest, rows: np.ndarray) -> Thresholds:
    if not rows.any():
        return Thresholds(float("inf"), float("inf"))
    share = 1 - FALSE_POSITIVE_RATE / 2
    measured = (unrelated.correlation[rows], unrelated.cosine[rows])
    return Thresholds(*(float(np.quantile(x, share, method="higher")) for x in measured))


def flagged(found: Nearest, labels: Sequence[str], limits: Mapping[str, Thresholds]) -> np.ndarray:
    """Which of N images (N,) bool are nearer to a training image than real images of their class, or verbatim."""
    correlation, cosine = (np.array([getattr(limits[x], name) for x in labels]) for name in ("correlation", "cosine"))
    return (found.correlation > correlation) | (found.cosine > cosine) | verbatim(found)


def verbatim(found: Nearest) -> np.ndarray:
    """Which of N images (N,) bool are a training image again."""
    same: np.ndarray = found.correlation > VERBATIM
    return same


def table(found: Nearest, labels: Sequence[str], limits: Mapping[str, Thresholds]) -> pd.DataFrame:
    """One row for each of N images: the positions of the nearest training images (-1: there is none), and `flagged`.

    Args:
        labels: the class of each image.
    """
    known = found.correlation > -1
    return pd.DataFrame(
        {
            "nearest": np.where(known, found.by_correlation, -1),
            "correlation": found.correlation.round(4),
            "nearest_by_features": np.where(known, found.by_cosine, -1),
            "cosine": found.cosine.round(4),
            "copy": flagged(found, labels, limits),
            "verbatim": verbatim(found),
        }
    )


def _distinct(images: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (N, 64, 64) float32, less what the training images have in common, such as a frame."""
    queries, references = (alignment.detailed([alignment.shrink(x) for x in some]) for some in (images, train))
    common = references.mean(axis=0)
    queries -= common
    references -= common
    return queries, references


def _nearest_rows(
    queries: np.ndarray, references: np.ndarray, groups: np.ndarray, reference_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The largest product of each query row with a reference row of another group (N,), and its position (N,)."""
    found, place = np.empty(len(queries)), np.empty(len(queries), int)
    for start in range(0, len(queries), BLOCK):
        rows = slice(start, start + BLOCK)
        products = queries[rows] @ references.T
        products[related(groups[rows], reference_groups)] = -1
        found[rows], place[rows] = products.max(axis=1), products.argmax(axis=1)
    return found, place


def _scaled(rows: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return scaled

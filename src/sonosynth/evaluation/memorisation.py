"""Copies: synthetic images that are a training image again.

A generator adapted to a few hundred images can give them back, flipped or a little turned. Such an image adds nothing
to a training set, can't be shared as synthetic, and every fidelity measure loves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from sonosynth.evaluation.features import Extractor

SIDE = 64
MARGIN = 6  # pixels around what is compared: room for shifts, and for what turning leaves empty
SHIFTS = range(-4, 5, 2)
TURNS = (-4.0, 0.0, 4.0)
ZOOMS = (1.0, 0.93)
TREND = 4.0
"""Pixels: deviation of the Gaussian whose blur is taken away. All ultrasound images are bright above and dark below, so
without this two strangers correlate at 0.8 (median nearest neighbour of BUSI; 0.3 with it)."""
CHANCE = 0.05
"""Share of held-out real images that may be flagged."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training images of N images.

    correlation (N,), of image `by_correlation` (N,) at 64 pixels over flips, small shifts, turns and zooms;
    cosine (N,), of image `by_cosine` (N,), of the features less the training mean.
    """

    correlation: np.ndarray
    by_correlation: np.ndarray
    cosine: np.ndarray
    by_cosine: np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """Above which an image counts as a copy."""

    correlation: float
    cosine: float


def nearest(images: np.ndarray, train: np.ndarray, extract: Extractor) -> Nearest:
    """The nearest of the training images `train` (M, H, W) uint8 to each of `images` (N, H, W) uint8."""
    queries, references = _reduced(images), _reduced(train)
    windows = [
        _unit(references[:, MARGIN + down : SIDE - MARGIN + down, MARGIN + across : SIDE - MARGIN + across])
        for down in SHIFTS
        for across in SHIFTS
    ]
    best = np.full((len(images), len(train)), -1, np.float32)
    for mirrored in (queries, queries[:, :, ::-1]):
        for turn in TURNS:
            for zoom in ZOOMS:
                template = _unit(_warped(mirrored, turn, zoom)[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
                for window in windows:
                    np.maximum(best, template @ window.T, out=best)
    known = extract(train)
    mean = known.mean(axis=0)
    cosine = _scaled(extract(images) - mean) @ _scaled(known - mean).T
    return Nearest(best.max(axis=1), best.argmax(axis=1), cosine.max(axis=1), cosine.argmax(axis=1))


def thresholds(held_out: Nearest) -> Thresholds:
    """Such that about `CHANCE` of real images that the generator never saw are flagged, half by either measure."""
    share = 1 - CHANCE / 2
    return Thresholds(*(float(np.quantile(x, share, method="higher")) for x in (held_out.correlation, held_out.cosine)))


def flagged(found: Nearest, limits: Thresholds) -> np.ndarray:
    """Which of N images (N,) bool are nearer to a training image than real images are."""
    return (found.correlation > limits.correlation) | (found.cosine > limits.cosine)


def _reduced(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """(N, 64, 64) float32, without the slow trend of brightness."""
    small = np.stack(
        [np.asarray(Image.fromarray(x).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) for x in images]
    )
    return small - ndimage.gaussian_filter(small, (0, TREND, TREND))


def _warped(images: np.ndarray, turn: float, zoom: float) -> np.ndarray:
    """`images` (N, H, W) turned by `turn` degrees and enlarged by `zoom` about their centre."""
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

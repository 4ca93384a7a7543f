"""Near-duplicates: images of one view, copied, rescaled, mirrored or a moment apart.

On both sides of a split they let a classifier recognise what it has seen, and a generator be praised for copies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 64  # pixels of the reduced image: speckle is averaged away, anatomy is not
NEAR = 4  # bits of 64 by which the perceptual hashes of twins differ at most
CONFIRMED = 0.8  # correlation that a match of the hashes needs
ALIKE = 0.95  # correlation that needs no match: the hash is not robust to a changed margin


@dataclass(frozen=True)
class View:
    """What is kept of an image to compare it with others.

    hashes: (2, 64) bool, perceptual hash of the image and of its mirror image. pixels: (2, SIDE^2) float32, both
    reduced, with mean 0 and norm 1 (0 for an image of one grey value).
    """

    hashes: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class Twins:
    """Two images, by position, that show the same view: how many hash bits differ, how they correlate."""

    first: int
    second: int
    distance: int
    correlation: float
    mirrored: bool


def view(grey: np.ndarray) -> View:
    """What is compared of an image (H, W) uint8. The hash is of the cosine transform (ImageHash's `phash`)."""
    upright = Image.fromarray(grey)
    both = (upright, upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    hashes = np.stack([imagehash.phash(image).hash.ravel() for image in both])
    small = np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    pixels = np.stack([small, small[:, ::-1]]).reshape(2, -1)
    pixels = pixels - pixels.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(pixels, axis=1, keepdims=True)
    return View(hashes, np.where(norm > 0, pixels / np.maximum(norm, 1e-9), 0))


def find(views: Sequence[View]) -> list[Twins]:
    """All pairs of twins among images, each once, in order: near hashes that correlation confirms, or near equality."""
    if not views:
        return []
    signs = np.stack([v.hashes for v in views]).astype(np.float32) * 2 - 1
    pixels = np.stack([v.pixels for v in views])
    found: list[Twins] = []
    for i in range(len(views) - 1):
        distance = (signs.shape[2] - signs[i + 1 :] @ signs[i, 0]) / 2  # (later images, upright or mirrored)
        correlation = pixels[i + 1 :] @ pixels[i, 0]
        twins = ((distance <= NEAR) & (correlation >= CONFIRMED)) | (correlation >= ALIKE)
        for j in np.flatnonzero(twins.any(axis=1)):
            way = int(np.where(twins[j], correlation[j], -1).argmax())
            found.append(Twins(i, int(i + 1 + j), round(distance[j, way]), float(correlation[j, way]), way == 1))
    return found


def components(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The rows 0 to n - 1 in groups: rows that a chain of pairs connects stand together, in order."""
    ends = np.array(list(pairs), int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, names = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(int(name), []).append(row)
    return list(groups.values())

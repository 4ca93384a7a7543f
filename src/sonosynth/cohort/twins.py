"""Near-duplicates: images of one view, copied, rescaled, mirrored or a moment apart.

On both sides of a split they let a classifier recognise what it has seen, and a generator be rewarded for copies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 64  # pixels of the reduced image: speckle is averaged away, anatomy is not
NEAR = 4  # bits of 64 by which the perceptual hashes of twins differ at most
CONFIRMED = 0.8  # correlation that a match of the hashes needs
LOW = 16  # frequencies per side that are compared before the pixels
BLOCK = 256  # images that are compared at a time
ALIKE = 0.95  # correlation that needs no match: the hash is not robust to a changed margin


@dataclass(frozen=True)
class View:
    """What is kept of an image to compare it with others.

    hashes: (2, 64) bool, perceptual hash of the image and of its mirror image. pixels: (SIDE, SIDE) uint8, the image
    reduced.
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
    """What of an image (H, W) uint8 is compared. The hash is of the cosine transform (ImageHash's `phash`)."""
    upright = Image.fromarray(grey)
    both = (upright, upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    hashes = np.stack([imagehash.phash(image).hash.ravel() for image in both])
    return View(hashes, np.asarray(upright.resize((SIDE, SIDE), Image.Resampling.BOX)))


def find(views: Sequence[View]) -> list[Twins]:
    """All pairs of twins among images, each once, in order: close hashes confirmed by correlation, or near equality."""
    if not views:
        return []
    hashes = np.stack([v.hashes for v in views])
    upright = _unit(np.stack([v.pixels for v in views]).reshape(len(views), -1).astype(np.float32))
    found: list[Twins] = []
    for i, others in _candidates(upright):
        image = upright[i].reshape(SIDE, SIDE)
        ways = np.stack([image.ravel(), image[:, ::-1].ravel()], axis=1)
        correlation = upright[others] @ ways  # (others, upright or mirrored)
        distance = (hashes[others] ^ hashes[i, 0]).sum(axis=2)
        twins = ((distance <= NEAR) & (correlation >= CONFIRMED)) | (correlation >= ALIKE)
        for row in np.flatnonzero(twins.any(axis=1)):
            way = int(np.where(twins[row], correlation[row], -1).argmax())
            found.append(Twins(i, int(others[row]), int(distance[row, way]), float(correlation[row, way]), way == 1))
    return found


def _candidates(upright: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """For each of N rows the later ones that may correlate with it, or with its mirror image, at `CONFIRMED`.

    The correlation of two images is that of their low frequencies plus that of their remainders, which the product of
    the remainders' norms bounds: so no pair is lost, and most are not compared pixel by pixel.
    """
    images = upright.reshape(-1, SIDE, SIDE)
    basis = fft.dct(np.eye(SIDE, dtype=np.float32), axis=0, norm="ortho")[:LOW]  # orthonormal rows
    low = basis @ images @ basis.T
    signs = np.where(np.arange(LOW) % 2, -1, 1)  # of a mirror image
    low, mirrored = (x.reshape(len(images), -1) for x in (low, low * signs))
    rest = np.sqrt(np.maximum(1 - (low**2).sum(axis=1), 0))
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        bound = np.maximum(low[rows] @ low[start:].T, mirrored[rows] @ low[start:].T)
        bound += np.outer(rest[rows], rest[start:])
        for row, near in enumerate(bound > CONFIRMED - 1e-4):
            others = np.flatnonzero(near[row + 1 :])
            if len(others):
                yield start + row, others + start + row + 1


def _unit(rows: np.ndarray) -> np.ndarray:
    """`rows` (N, D) with mean 0 and norm 1, or all 0 where they are constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    scaled: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return scaled


def components(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The rows 0 to n - 1 in groups: rows connected by a chain of pairs are together, in order."""
    ends = np.array(list(pairs), int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, names = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(int(name), []).append(row)
    return list(groups.values())

"""Near-duplicates: images of one view, copied, rescaled, mirrored, or taken with the probe hardly moved.

On both sides of a split they let a classifier recognise what it has seen, and a generator be rewarded for copies.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import imagehash
import numpy as np
from PIL import Image
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sonosynth.cohort import alignment
from sonosynth.cohort.alignment import BLOCK, SIDE, unit

NEAR = 4  # bits of 64 by which the perceptual hashes of twins differ at most
CONFIRMED = 0.8  # correlation that a match of the hashes needs
LOW = 16  # frequencies per side that are compared before the pixels
ALIKE = 0.95  # correlation that needs no match: the hash is not robust to a changed margin
ALIGNED = 0.55
"""Correlation of details at the best flip, shift, turn and zoom that needs no match either. On BUSI, all 19 pairs above
it that the other rules miss show one view; below come different lesions of one shape, the first at 0.51."""
BEYOND = 3.0
"""How many times as much as with most of the cohort (the upper quartile) two images must correlate for that rule. A
sector or a frame that only some images have makes strangers alike; 3 times is 0.55 on BUSI, and so are other cohorts
without such a frame."""
LIKELY = 0.35  # rough correlation that is worth a close look: pairs above `ALIGNED` have 0.46 or more on BUSI


class Rule(StrEnum):
    """By what twins were found: close hashes confirmed by correlation, equal pixels, or equal details once aligned."""

    HASH = "hash"
    PIXELS = "pixels"
    ALIGNED = "aligned"


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
    """Two images, by position, that show the same view: how many hash bits differ, how they correlate.

    correlation: of the pixels; of the aligned details, if that is the rule by which they were found.
    """

    first: int
    second: int
    distance: int
    correlation: float
    mirrored: bool
    rule: Rule


def view(grey: np.ndarray) -> View:
    """What of an image (H, W) uint8 is compared. The hash is of the cosine transform (ImageHash's `phash`)."""
    upright = Image.fromarray(grey)
    both = (upright, upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    hashes = np.stack([imagehash.phash(image).hash.ravel() for image in both])
    return View(hashes, alignment.shrink(grey))


def details(views: Sequence[View]) -> np.ndarray:
    """What distinguishes each image: (N, SIDE, SIDE) float32, less what all have in common, such as a frame."""
    found = alignment.detailed([v.pixels for v in views])
    distinct: np.ndarray = found - found.mean(axis=0)
    return distinct


def find(views: Sequence[View], distinct: np.ndarray) -> list[Twins]:
    """All pairs of twins among images, each once, in order, by the first `Rule` that they fulfil.

    By the last rule, an image gets at most its `alignment.SHORTLIST` nearest.

    Args:
        distinct: the `details` of the views.
    """
    hashes = np.stack([v.hashes for v in views])
    upright = unit(np.stack([v.pixels for v in views]).astype(np.float32))
    found = {(t.first, t.second): t for t in _as_they_are(hashes, upright)}
    found |= {(t.first, t.second): t for t in _once_aligned(hashes, distinct, found.keys())}
    return [found[pair] for pair in sorted(found)]


def _as_they_are(hashes: np.ndarray, upright: np.ndarray) -> Iterator[Twins]:
    """Twins by close hashes confirmed by correlation, or by near equality: hashes (N, 2, 64), upright (N, D) rows."""
    for i, others in _candidates(upright):
        image = upright[i].reshape(SIDE, SIDE)
        ways = np.stack([image.ravel(), image[:, ::-1].ravel()], axis=1)
        correlation = upright[others] @ ways  # (others, upright or mirrored)
        distance = (hashes[others] ^ hashes[i, 0]).sum(axis=2)
        near = (distance <= NEAR) & (correlation >= CONFIRMED)
        twins = near | (correlation >= ALIKE)
        for row in np.flatnonzero(twins.any(axis=1)):
            way = int(np.where(twins[row], correlation[row], -1).argmax())
            rule = Rule.HASH if near[row, way] else Rule.PIXELS
            yield Twins(i, int(others[row]), int(distance[row, way]), float(correlation[row, way]), way == 1, rule)


def _once_aligned(hashes: np.ndarray, distinct: np.ndarray, known: Container[tuple[int, int]]) -> Iterator[Twins]:
    """Twins that are not `known` yet, by their aligned details (N, SIDE, SIDE)."""
    own = np.arange(len(distinct))
    near = alignment.shortlist(distinct, distinct, own[:, None], own)
    rows, places = np.nonzero(near.scores >= LIKELY)
    ends = np.sort([rows, near.rows[rows, places]], axis=0)
    pairs = [(i, j) for i, j in np.unique(ends, axis=1).T.tolist() if (i, j) not in known]
    others: dict[int, list[int]] = defaultdict(list)
    for i, j in pairs:
        others[i].append(j)
        others[j].append(i)  # turning and zooming the other one is another comparison
    ways: dict[tuple[int, int], tuple[float, bool]] = {}
    for i, rest in others.items():
        correlation, mirrored = (x.tolist() for x in alignment.correlations(distinct[i], distinct[rest]))
        ways |= {(i, j): way for j, way in zip(rest, zip(correlation, mirrored, strict=True), strict=True)}
    for i, j in pairs:
        best, flipped = max(ways[i, j], ways[j, i])
        if best >= max(ALIGNED, BEYOND * near.typical[i], BEYOND * near.typical[j]):
            distance = int((hashes[j, int(flipped)] ^ hashes[i, 0]).sum())
            yield Twins(i, j, distance, best, flipped, Rule.ALIGNED)


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


def components(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The rows 0 to n - 1 in groups: rows connected by a chain of pairs are together, in order."""
    ends = np.array(list(pairs), int).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, names = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(int(name), []).append(row)
    return list(groups.values())

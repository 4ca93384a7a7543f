"""Images with consecutive file numbers: are they more alike than others of their class?

Images that are exported patient by patient are numbered so. Where no patient is named, this may be the only trace of
them, and one patient's images end up on both sides of a split.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

from sonosynth import seeding
from sonosynth.cohort.alignment import unit

FEWEST = 10  # pairs of a class that are worth a test
ORDERS = 4  # random ones, whose neighbours they are compared with
ALARM = 0.001


@dataclass(frozen=True)
class Adjacent:
    """The pairs of images of one class whose names end in consecutive numbers.

    median: of the correlation of their details; others: the same of random pairs of these images. p: one-sided, of the
    rank test of Mann and Whitney, times the number of classes that were tested, at most 1.
    """

    label: str
    pairs: int
    median: float
    others: float
    p: float

    @property
    def suspicious(self) -> bool:
        """Whether they are more alike than chance has it: some may be of one patient."""
        return self.p < ALARM

    def described(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"suspicious": self.suspicious}


def compare(details: np.ndarray, files: Sequence[str], labels: Sequence[str], groups: np.ndarray) -> list[Adjacent]:
    """The neighbours of each class that has at least `FEWEST` pairs of them.

    They are compared with neighbours in random orders of the same images, so that each image counts as often, and as
    they are: the best of many alignments says less of two different views.

    Args:
        details: (N, H, W), what distinguishes each image. files, labels: of each. groups: (N,) int, one number for
            images that are known to belong together; their pairs are left out.
    """
    images, samples = unit(details), {}
    for label in sorted(set(labels)):
        adjacent = _consecutive(files, [row for row, own in enumerate(labels) if own == label])
        rng, members = seeding.numpy_generator(0, "adjacent", label), sorted({row for pair in adjacent for row in pair})
        orders = [rng.permutation(members).tolist() for _ in range(ORDERS)]
        random = [pair for order in orders for pair in pairwise(order) if not adjacent & {pair, pair[::-1]}]
        near, other = (_correlations(images, pairs, groups) for pairs in (sorted(adjacent), random))
        if len(near) >= FEWEST and len(other):
            samples[label] = (near, other)
    return [
        Adjacent(label, len(near), float(np.median(near)), float(np.median(other)), min(1.0, float(p) * len(samples)))
        for label, (near, other) in samples.items()
        for p in [mannwhitneyu(near, other, alternative="greater").pvalue]
    ]


def _consecutive(files: Sequence[str], rows: Iterable[int]) -> set[tuple[int, int]]:
    """The pairs of rows whose files are in one folder and are called the same but for the last, consecutive number."""
    series: dict[tuple[str, ...], dict[int, int]] = {}
    for row in rows:
        file = PurePath(files[row])
        if found := re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem):
            series.setdefault((str(file.parent), found[1], found[3]), {})[int(found[2])] = row
    return {(row, own[n + 1]) for own in series.values() for n, row in own.items() if n + 1 in own}


def _correlations(images: np.ndarray, pairs: Sequence[tuple[int, int]], groups: np.ndarray) -> np.ndarray:
    """The correlation of each pair of images (N, D) that isn't of one group; one at a time, so that none is copied."""
    return np.array([images[one] @ images[other] for one, other in pairs if groups[one] != groups[other]])

"""Training and validation images."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

TRAIN, VALIDATION = "train", "validation"


def split(
    labels: Sequence[str], hashes: Sequence[str], groups: Sequence[str], holdout: float, rng: np.random.Generator
) -> list[str]:
    """The side ("train" or "validation") of each of N images; whole groups stay on one side.

    A class of n images gets floor((1 - holdout) n) training images, as in the paper, unless its groups do not
    add up to that. The result depends on the images' contents, not on their order or names.

    Args:
        labels: class of each image.
        hashes: of the content of each image; images with the same hash stay together.
        groups: name of the group of each image, or "".
        rng: draws the split.

    Raises:
        ValueError: if a class would have no image on one side; the message names it.
    """
    units = _units(hashes, groups)
    units.sort(key=lambda rows: min(hashes[row] for row in rows))
    units = [units[i] for i in rng.permutation(len(units))]
    units.sort(key=len, reverse=True)  # single images come last and fill the counts exactly

    totals = Counter(labels)
    room = {TRAIN: Counter({k: math.floor((1 - holdout) * n + 1e-9) for k, n in totals.items()})}
    room[VALIDATION] = totals - room[TRAIN]
    sides = [""] * len(labels)
    for rows in units:
        need = Counter(labels[row] for row in rows)
        fits = [side for side in (TRAIN, VALIDATION) if all(room[side][k] >= n for k, n in need.items())]
        if len(fits) == 2:
            fits = [TRAIN if rng.random() >= holdout else VALIDATION]
        side = fits[0] if fits else TRAIN
        room[side].subtract(need)
        for row in rows:
            sides[row] = side
    for side in (TRAIN, VALIDATION):
        empty = totals.keys() - {labels[row] for row in range(len(labels)) if sides[row] == side}
        if empty:
            raise ValueError(f"no {side} image of {', '.join(sorted(empty))}")
    return sides


def _units(hashes: Sequence[str], groups: Sequence[str]) -> list[list[int]]:
    """Rows that must stay together, by group or by content: the connected components."""
    parent = list(range(len(hashes)))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (content, group) in enumerate(zip(hashes, groups, strict=True)):
        for key in [("hash", content)] + [("group", group)] * bool(group):
            parent[root(row)] = root(first.setdefault(key, row))
    units: dict[int, list[int]] = {}
    for row in range(len(hashes)):
        units.setdefault(root(row), []).append(row)
    return list(units.values())

"""Training and validation images."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

TRAIN, VALIDATION = "train", "validation"


def split(
    labels: Sequence[str], hashes: Sequence[str], units: Iterable[Sequence[int]], holdout: float,
    rng: np.random.Generator,
) -> list[str]:  # fmt: skip
    """The side ("train" or "validation") of each of N images; whole units stay on one side.

    A class of n images gets floor((1 - holdout) n) training images, as in the paper, unless its units do not
    add up to that; with two units or more it has one on each side. The result depends on the images' contents, not on
    their order or names.

    Args:
        labels: class of each image.
        hashes: of the content of each image.
        units: the positions 0 to N - 1, in parts that stay together.
        rng: draws the split.

    Raises:
        ValueError: if a class would have no image on one side; the message names it.
    """
    ordered = sorted(units, key=lambda rows: min(hashes[row] for row in rows))
    drawn = [ordered[i] for i in rng.permutation(len(ordered))]
    drawn.sort(key=len, reverse=True)  # single images come last and fill the counts exactly

    totals = Counter(labels)
    room = {TRAIN: Counter({k: math.floor((1 - holdout) * n + 1e-9) for k, n in totals.items()})}
    room[VALIDATION] = totals - room[TRAIN]
    sides = [""] * len(labels)
    for rows in drawn:
        need = Counter(labels[row] for row in rows)
        fits = [side for side in (TRAIN, VALIDATION) if all(room[side][k] >= n for k, n in need.items())]
        if len(fits) == 2:
            fits = [TRAIN if rng.random() >= holdout else VALIDATION]
        side = fits[0] if fits else TRAIN
        room[side].subtract(need)
        for row in rows:
            sides[row] = side

    def missing(side: str) -> set[str]:
        return totals.keys() - {label for label, other in zip(labels, sides, strict=True) if other == side}

    for side in (TRAIN, VALIDATION):
        for label in sorted(missing(side)):
            smallest = min((rows for rows in drawn if label in {labels[row] for row in rows}), key=len)
            for row in smallest:
                sides[row] = side
    for side in (TRAIN, VALIDATION):
        if empty := missing(side):
            raise ValueError(f"no {side} image of {', '.join(sorted(empty))}")
    return sides


def folds(labels: Sequence[str], hashes: Sequence[str], groups: Sequence[str], k: int, seed: int) -> list[int]:
    """The fold, 0 to k - 1, of each of N images: stratified by label, groups whole, whatever their order.

    Args:
        labels, hashes: of each image. groups: name of its group, or "" for an image that stands alone.

    Raises:
        ValueError: if there are less than k groups of a class.
    """
    names = [group or f"image {content}" for group, content in zip(groups, hashes, strict=True)]
    for label in sorted(set(labels)):
        count = len({name for name, other in zip(names, labels, strict=True) if other == label})
        if count < k:
            raise ValueError(f"{count} group(s) of {label} for {k} folds")
    order = np.argsort(np.array(hashes), kind="stable")
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    parts = splitter.split(order, np.array(labels)[order], np.array(names)[order])
    found = [0] * len(labels)
    for fold, (_, rows) in enumerate(parts):
        for row in order[rows]:
            found[row] = fold
    return found

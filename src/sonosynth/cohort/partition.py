"""Which images belong to which side or fold: pure functions of labels, contents and groups."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from sonosynth.artefacts import TRAIN, VALIDATION

STARTS = 20  # of the search for a split near the wanted counts
SWAPPED = 128  # units of each side that are tried against each other


def split(
    labels: Sequence[str], hashes: Sequence[str], units: Iterable[Sequence[int]], holdout: float,
    rng: np.random.Generator,
) -> list[str]:  # fmt: skip
    """The side ("train" or "validation") of each of N images; whole units stay on one side.

    A class of n images gets floor((1 - holdout) n) training images, as in the paper; where the units don't add up to
    that, as near as a search comes, and with two units or more it has one on each side. The result depends on the
    images' contents, not on their order or names.

    Args:
        labels: class of each image.
        hashes: of the content of each image.
        units: the positions 0 to N - 1, in parts that stay together.
        rng: draws the split.

    Raises:
        ValueError: if there is no image, or a class would have none on one side; the message names it.
    """
    if not labels:
        raise ValueError("no image")
    ordered = sorted(units, key=lambda rows: min(hashes[row] for row in rows))
    drawn = [ordered[i] for i in rng.permutation(len(ordered))]
    drawn.sort(key=len, reverse=True)  # single images come last and fill the counts exactly

    classes = sorted(set(labels))
    counts = np.array([[Counter(labels[row] for row in rows)[label] for label in classes] for rows in drawn])
    totals = counts.sum(axis=0)
    wanted = totals - np.floor((1 - holdout) * totals + 1e-9).astype(int)
    held_out = _nearest(_filled(counts, totals - wanted, wanted, holdout, rng), counts, wanted, holdout, rng)
    for side, units_there in ((TRAIN, ~held_out), (VALIDATION, held_out)):
        if empty := [x for x, n in zip(classes, counts[units_there].sum(axis=0), strict=True) if not n]:
            raise ValueError(f"no {side} image of {', '.join(empty)}")
    sides = [""] * len(labels)
    for rows, out in zip(drawn, held_out, strict=True):
        for row in rows:
            sides[row] = VALIDATION if out else TRAIN
    return sides


def _filled(
    counts: np.ndarray, room: np.ndarray, room_out: np.ndarray, holdout: float, rng: np.random.Generator
) -> np.ndarray:  # fmt: skip
    """Which of U units are held out (U,) bool, if each in turn goes where there is room for it, by chance if on both.

    Args:
        counts: (U, K) images of each class in each unit. room, room_out: (K,) wanted in training, and held out.
    """
    room, room_out = room.copy(), room_out.copy()
    held_out = np.zeros(len(counts), bool)
    for unit, need in enumerate(counts):
        fits, fits_out = (need <= room).all(), (need <= room_out).all()
        held_out[unit] = rng.random() < holdout if fits and fits_out else fits_out
        (room_out if held_out[unit] else room)[:] -= need
    return held_out


def _nearest(
    held_out: np.ndarray, counts: np.ndarray, wanted: np.ndarray, holdout: float, rng: np.random.Generator
) -> np.ndarray:  # fmt: skip
    """Of splits that a search by single units and by swaps ends in, from `held_out` and from others, the best.

    The best is nearest to the `wanted` (K,) images of each class, and of all together, as shares; but a class without
    an image on one side is worse than any distance.
    """
    totals = counts.sum(axis=0)

    def cost(found: np.ndarray) -> np.ndarray:
        """(...) of images held out, (..., K)."""
        apart = (((found - wanted) / totals) ** 2).sum(axis=-1)
        missing = ((found == 0) | (found == totals)).sum(axis=-1)
        return np.asarray(apart + ((found - wanted).sum(axis=-1) / totals.sum()) ** 2 + 10 * missing)

    best, least = held_out, float(cost(counts[held_out].sum(axis=0)))
    for start in range(STARTS):
        if least == 0:
            break
        side = (held_out if start == 0 else rng.random(len(counts)) < holdout).copy()
        now = float(cost(counts[side].sum(axis=0)))
        while True:
            found = counts[side].sum(axis=0)
            flips = cost(found + np.where(side, -1, 1)[:, None] * counts)
            out, rest = (rng.permutation(np.flatnonzero(units))[:SWAPPED] for units in (side, ~side))
            swaps = cost(found - counts[out][:, None] + counts[rest][None])
            if min(flips.min(), swaps.min(initial=np.inf)) >= now - 1e-12:
                break
            if flips.min() <= swaps.min(initial=np.inf):
                side[flips.argmin()] ^= True
                now = float(flips.min())
            else:
                first, second = np.unravel_index(swaps.argmin(), swaps.shape)
                side[[out[first], rest[second]]] ^= True
                now = float(swaps.min())
        if now < least:
            best, least = side, now
    return best


def folds(labels: Sequence[str], hashes: Sequence[str], groups: Sequence[str], k: int, seed: int) -> list[int]:
    """The fold, 0 to k - 1, of each of N images: stratified by label, groups kept whole, whatever the order.

    Args:
        labels, hashes: of each image. groups: name of its group, or "" for an image that stands alone.

    Raises:
        ValueError: if there are fewer than k groups of a class.
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

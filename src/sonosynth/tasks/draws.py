"""Which training images are in which batch."""

import math

import numpy as np

from sonosynth import seeding
from sonosynth.tasks.arms import Arm, Balance
from sonosynth.tasks.training_set import TrainingSet


def draws(training: TrainingSet, balance: Balance, share: float | None, count: int, seed: int) -> np.ndarray:
    """The rows (count,) of images, drawn one after the other; more of them begin with the same ones.

    With `oversample` every class is equally likely, otherwise as likely as it is frequent among the training images. If
    there is a `share`, 0 to 1, classes are as frequent as among real images, and with that probability an image is
    synthetic, in every class alike: otherwise the source would tell the class. From each of these parts, all images are
    drawn in a random order before one is drawn again.

    Raises:
        ValueError: if a part has no image.
    """
    found = np.empty(count, int)
    parts = pools(training, balance, share)
    edges = np.cumsum([chance for chance, _ in parts])
    chosen = np.searchsorted(edges[:-1], seeding.numpy_generator(seed, "parts").random(count), side="right")
    for number, (_, rows) in enumerate(parts):
        places, rng = np.flatnonzero(chosen == number), seeding.numpy_generator(seed, "order", number)
        turns = [rng.permutation(rows) for _ in range(-(-len(places) // len(rows)))]
        found[places] = np.concatenate([np.empty(0, int), *turns])[: len(places)]
    return found


def pools(training: TrainingSet, balance: Balance, share: float | None) -> list[tuple[float, np.ndarray]]:
    """The parts that images are drawn from: the chance of each, and its rows.

    Raises:
        ValueError: if a part has no image.
    """
    labels, synthetic = training.labels, training.synthetic
    if share is None and balance != "oversample":
        return [(1.0, np.arange(len(labels)))]
    classes = np.unique(labels)
    counted = labels if share is None else labels[~synthetic]
    chances = {k: 1 / len(classes) if balance == "oversample" else float((counted == k).mean()) for k in classes}
    everything = np.ones(len(labels), bool)
    sources = ((1.0, everything),) if share is None else ((1 - share, ~synthetic), (share, synthetic))
    parts = [
        (chances[k] * part, np.flatnonzero((labels == k) & source)) for k in classes for part, source in sources if part
    ]
    if not all(len(rows) for _, rows in parts):
        raise ValueError("a share needs real and synthetic images of every class")
    return parts


def scheduled(training: TrainingSet, arm: Arm, count: int, seed: int) -> np.ndarray:
    """The rows (count,) of images that an arm draws: see `draws`, `Arm.until` and `Arm.replace`.

    An arm that replaces images draws the real ones that it would draw without its sets.

    Raises:
        ValueError: as `draws`.
    """
    if arm.replace:
        order = draws(training, arm.balance, 0.0, count, seed)
        return replaced(order, training.source, arm.replace, seeding.derive(seed, "replace"))
    first = math.ceil(arm.until * count)
    parts = [draws(training, arm.balance, arm.share, first, seed)]
    if first < count:
        parts.append(draws(training, arm.balance, 0.0, count - first, seeding.derive(seed, "real alone")))
    return np.concatenate(parts)


def replaced(order: np.ndarray, source: np.ndarray, chance: float, seed: int) -> np.ndarray:
    """The rows `order` (n,), each replaced with this chance by a row whose `source` (N,) it is, if there is any.

    All such rows are equally likely.
    """
    rng = seeding.numpy_generator(seed)
    swapped, which = rng.random(len(order)) < chance, rng.random(len(order))
    made = np.argsort(source, kind="stable")
    first, last = (np.searchsorted(source[made], order, side) for side in ("left", "right"))
    swapped &= last > first
    found = order.copy()
    found[swapped] = made[(first + which * (last - first)).astype(int)[swapped]]
    return found


def settling(training: TrainingSet, balance: Balance) -> np.ndarray:
    """The rows of images for batch statistics: the real ones, if there are any; with `oversample` classes alike.

    Every stretch of them has the same mix of classes.
    """
    real = ~training.synthetic if not training.synthetic.all() else training.synthetic
    of_class = [np.flatnonzero(real & (training.labels == k)) for k in np.unique(training.labels[real])]
    if balance == "oversample":
        of_class = [np.resize(rows, max(map(len, of_class))) for rows in of_class]
    places = np.concatenate([np.arange(len(rows)) / len(rows) for rows in of_class])
    return np.concatenate(of_class)[np.argsort(places, kind="stable")]

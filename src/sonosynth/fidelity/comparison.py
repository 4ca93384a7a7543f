"""A synthetic set against real images: every measure with its interval, and at equal counts beside its floor."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from sonosynth.evidence.tests import LEVEL

HALVES = 50
DRAWS = 25
FEWEST = 4  # images that have halves
LARGEST, SMALLEST = 1000, 25
"""Images in a random part: at most, so that cost does not grow with the square of their number; and, if possible, at
least."""

Described = Mapping[str, np.ndarray]
"""What is known of N images: name to values (N, ...)."""

Measure = Callable[[Described, Described], dict[str, float]]
"""From real and other images to the value of each metric."""


@dataclass(frozen=True)
class Images:
    """N images: what is known of them, their classes (N,), and groups (N,), one value for images that belong together:
    those of one patient, near-duplicates, and what was made from them."""

    values: Described
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def choose(self, rows: np.ndarray | slice) -> "Images":
        """Some of the images, by position or by a mask."""
        return Images({name: x[rows] for name, x in self.values.items()}, self.labels[rows], self.groups[rows])


@dataclass(frozen=True)
class Sides:
    """train: the real images that a set is compared with. made: the set. held_out: real images that are in neither."""

    train: Images
    made: Images
    held_out: Images

    def of(self, label: str) -> "Sides":
        """The images of one class."""
        return Sides(*(side.choose(side.labels == label) for side in (self.train, self.made, self.held_out)))


Counts = Mapping[str, int]
"""How many images of each class."""


def in_common(*sides: Images) -> dict[str, int]:
    """How many images of each class all `sides` have, about `LARGEST` altogether; none of a class that one lacks."""
    found = [Counter(side.labels.tolist()) for side in sides]
    counts = {label: least for label in sorted(found[0]) if (least := min(count[label] for count in found))}
    share = min(1, LARGEST / max(sum(counts.values()), 1))
    return {label: max(int(count * share), 1) for label, count in counts.items()}


def draws(sides: Sides, counts: Counts, times: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Random parts of all three sides, each with `counts` images of each class."""
    for _ in range(times):
        yield Sides(*(draw(side, counts, rng) for side in (sides.train, sides.made, sides.held_out)))


def halves(sides: Sides, counts: Counts, times: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Random halves of all three sides, each as large as it can be (and `LARGEST`) in the mix of `counts`."""
    several = {label: count for label, count in counts.items() if count > 1}
    total = sum(several.values())

    def half(side: Images) -> dict[str, int]:
        found = Counter(side.labels.tolist())
        times_as_many = min([LARGEST / total * 2, *(found[label] / count for label, count in several.items())])
        return {label: int(count * times_as_many / 2) for label, count in several.items()}

    for _ in range(times if total >= FEWEST else 0):
        yield Sides(*(draw(side, half(side), rng) for side in (sides.train, sides.made, sides.held_out)))


def draw(images: Images, counts: Counts, rng: np.random.Generator) -> Images:
    """A random part of the images, with `counts` of each class: see `shuffled`."""
    order = shuffled(images, rng)
    rows = [order[images.labels[order] == label][:count] for label, count in counts.items()]
    return images.choose(np.concatenate([np.empty(0, int), *rows]))


def shuffled(images: Images, rng: np.random.Generator) -> np.ndarray:
    """The rows in random order, group by group: parts of single images would not show how much groups differ."""
    names, group = np.unique(images.groups, return_inverse=True)
    return np.lexsort((rng.random(len(images)), rng.permutation(len(names))[group]))


def compare(measure: Measure, sides: Sides, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One row for each metric of `measure`: value, low, high, those of `at_equal_counts`, n_real, n_synthetic.

    The 95% interval is value ± 1.96 SD over random halves of both sides, by group (the delete-d jackknife, Shao and Wu,
    Ann. Statist. 17:1176, 1989): a bootstrap would repeat images, and find them less diverse. For large sets
    the parts are smaller than halves, and the deviation is scaled accordingly.
    """
    real, made = sides.train, sides.made
    value = measure(real.values, made.values)
    share = min(1 / 2, max(LARGEST / max(len(real), len(made), 1), SMALLEST / max(min(len(real), len(made)), 1)))
    parts = [
        measure(_part(real, share, rng).values, _part(made, share, rng).values)
        for _ in range(HALVES if len(made) >= FEWEST else 0)
    ]
    matched = at_equal_counts(measure, sides, rng)
    rows = []
    for name, found in value.items():
        spread = _reach([part[name] for part in parts], share)
        rows.append(
            {"metric": name, "value": found, "low": found - spread, "high": found + spread}
            | matched[name]
            | {"n_real": len(real), "n_synthetic": len(made)}
        )
    return rows


def at_equal_counts(measure: Measure, sides: Sides, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """For each metric: matched, floor, excess_low, excess_high, n_matched, classes.

    Most metrics depend on the mix of classes and on the counts, so these alone may be compared: `matched` is the value
    of the set and `floor` that of held-out real images, each against training images, where all three have the same
    number of images of each class; means over random parts. Classes that one of them lacks are left out; `classes` are
    those that remain, n_matched counts their images. excess_low and excess_high are the 95% interval of matched -
    floor, from random halves of all sides in that mix, as in `compare`.
    """
    counts = in_common(sides.train, sides.made, sides.held_out)
    whole, parts = (
        [(measure(x.train.values, x.made.values), measure(x.train.values, x.held_out.values)) for x in drawn]
        for drawn in (draws(sides, counts, DRAWS, rng), halves(sides, counts, HALVES, rng))
    )
    rows = {}
    for name in whole[0][0]:
        matched, floor = (float(np.mean([pair[side][name] for pair in whole])) for side in (0, 1))
        spread = _reach([made[name] - real[name] for made, real in parts], 1 / 2)
        rows[name] = {
            "matched": matched, "floor": floor,
            "excess_low": matched - floor - spread, "excess_high": matched - floor + spread,
            "n_matched": sum(counts.values()), "classes": tuple(counts),
        }  # fmt: skip
    return rows


def _part(images: Images, share: float, rng: np.random.Generator) -> Images:
    return images.choose(shuffled(images, rng)[: int(len(images) * share)])


def _reach(values: list[float], share: float) -> float:
    """Half the 95% interval of a value, from its values on random parts that are that share of the whole."""
    if not values:
        return float("nan")
    return float(stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(share / (1 - share)) * np.std(values))

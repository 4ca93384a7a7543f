"""The balance plan: how many synthetic images each class gets, and in which strata.

A *stratum* is one value of each column of `balance.by`; without columns, all images are in one. A class that is
frequent on one device and rare on another teaches a classifier that the device tells the class, and synthetic images
that take their device from training images of their class teach it again. So all classes get one distribution over
strata: that of the largest class in each of them, the smallest for which no real image has to go. Nothing is made for a
class in a stratum in which it has no training image that says what such images have in common.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import pandas as pd

Stratum = tuple[str, ...]
Members = Mapping[str, Mapping[Stratum, Sequence[str]]]
"""The ids of the training images, by class and stratum; of those that have any."""


def members(train: pd.DataFrame, by: Sequence[str]) -> Members:
    """The images of the training rows of cohort.csv in the strata of the columns `by`."""
    found: dict[str, dict[Stratum, list[str]]] = {}
    for name, label, *values in zip(train["id"], train["label"], *(train[column] for column in by), strict=True):
        found.setdefault(label, {}).setdefault(tuple(values), []).append(name)
    return dict(sorted(found.items()))


def goals(of: Members) -> dict[Stratum, int]:
    """The images of the largest class in each stratum."""
    every = sorted({stratum for own in of.values() for stratum in own})
    return {stratum: max(len(own.get(stratum, ())) for own in of.values()) for stratum in every}


def plan(of: Members, target: int | str) -> dict[str, int]:
    """How many synthetic images each class gets; none if it has as many as it should have, or more.

    Args:
        target: training images per class, real and synthetic; or largest: the largest class's size in each stratum in
            which a class has any.
    """
    goal = goals(of)
    if target == "largest":
        return {label: sum(goal[stratum] - len(ids) for stratum, ids in own.items()) for label, own in of.items()}
    return {label: max(0, int(target) - sum(map(len, own.values()))) for label, own in of.items()}


def order(of: Members, label: str, count: int) -> list[Stratum]:
    """The strata of `count` further images of a class, each the one that then lacks most, the first of several.

    It lacks what it would have if the class, with all of these images, were distributed as the goals are.
    """
    goal, own = goals(of), of[label]
    whole = sum(goal[stratum] for stratum in own)
    total = sum(map(len, own.values())) + count
    queue = [(whole * len(ids) - total * goal[stratum], stratum) for stratum, ids in sorted(own.items())]
    heapq.heapify(queue)
    found = []
    for _ in range(count):
        lacking, stratum = queue[0]
        found.append(stratum)
        heapq.heapreplace(queue, (lacking + whole, stratum))
    return found


def in_turn(of: Members, label: str, images: Iterable[str], count: int) -> list[str]:
    """Training images of a class to start `count` further ones from, each of its stratum, in the order of `images`."""
    stratum_of = {name: stratum for stratum, ids in of[label].items() for name in ids}
    pools: dict[Stratum, list[str]] = {}
    for name in images:
        pools.setdefault(stratum_of[name], []).append(name)
    turns = {stratum: cycle(pool) for stratum, pool in pools.items()}
    return [next(turns[stratum]) for stratum in order(of, label, count)]


def missing(of: Members) -> list[tuple[str, Stratum]]:
    """The classes and strata without a training image."""
    return [(label, stratum) for label, own in of.items() for stratum in goals(of) if stratum not in own]

"""Each class of a set against each class of the training images: are its classes further apart than real ones?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sonosynth import seeding
from sonosynth.evidence.tests import LEVEL
from sonosynth.fidelity.comparison import Described, Images, Sides, at_equal_counts
from sonosynth.fidelity.distances import moment_distances


def compare(sides: Sides, space: str) -> list[dict[str, Any]]:
    """Rows for each class of the set ("class") against each class of the training images ("against").

    `matched` is the Fréchet or kernel distance at equal counts, `floor` that of held-out real images of that class.
    There is no row where a side has fewer than two images.
    """
    rows = []
    for of_set in np.unique(sides.made.labels).tolist():
        for of_real in np.unique(sides.train.labels).tolist():
            own, real = sides.of(of_set), sides.of(of_real)
            pair = Sides(*map(_as_one_class, (real.train, own.made, own.held_out)))
            if min(len(pair.train), len(pair.made), len(pair.held_out)) < 2:
                continue
            rng = seeding.numpy_generator(0, "fidelity", of_set, of_real, space)
            for metric, found in at_equal_counts(_distances, pair, rng).items():
                rows.append(
                    {"class": of_set, "against": of_real, "metric": metric}
                    | found
                    | {"n_real": len(pair.train), "n_synthetic": len(pair.made), "classes": (of_set,)}
                )
    return rows


def _as_one_class(images: Images) -> Images:
    return replace(images, labels=np.full(len(images), ""))


def _distances(real: Described, other: Described) -> dict[str, float]:
    return moment_distances(real["features"], other["features"])


@dataclass(frozen=True)
class Caricature:
    """A class of a set that is further from another, real class than real images are: Fréchet distances at equal
    counts."""

    set: str
    label: str
    against: str
    features: str
    distance: float
    real_distance: float


def caricatures(rows: pd.DataFrame) -> list[Caricature]:
    """The caricatures among the rows of `compare`, with the columns set and features.

    The excess over the real distance must be beyond chance (at 95%, with Bonferroni's correction for the pairs of
    classes of one set), and larger than the same class's excess over its own real images. Both distances are squared,
    so what the images are off in directions that have nothing to do with the other class adds as much to either: a
    larger excess means that they moved away from that class.
    """
    rows = rows[rows["metric"] == "frechet"].assign(excess=rows["matched"] - rows["floor"])
    own = rows[rows["class"] == rows["against"]].groupby(["set", "features", "class"])["excess"].first().to_dict()
    found = []
    for _, pairs in rows[rows["class"] != rows["against"]].groupby(["set", "features"], sort=False):
        wider = stats.norm.isf((1 - LEVEL) / 2 / len(pairs)) / stats.norm.isf((1 - LEVEL) / 2)
        for row in pairs.to_dict("records"):
            one = Caricature(
                row["set"], row["class"], row["against"], row["features"], row["matched"], row["floor"]
            )  # fmt: skip
            beyond_chance = row["excess"] > wider * (row["excess"] - row["excess_low"])
            if beyond_chance and row["excess"] > own[one.set, one.features, one.label]:
                found.append(one)
    return found

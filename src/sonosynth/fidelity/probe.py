"""Can a linear classifier tell synthetic images from real ones of the same class?

Where it can, a classifier trained on both can take the source for the class.
"""

from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from sonosynth.evidence.tests import LEVEL
from sonosynth.fidelity.comparison import Images, Sides, draw, draws, in_common
from sonosynth.fidelity.linear import fitted, matrix

FOLDS = 5
DRAWS = 5


def compare(sides: Sides, rng: np.random.Generator) -> dict[str, Any]:
    """The row of the AUC at which the set is told from the training images, as `comparison.compare` has it.

    Both have the same number of images of each class, so that the class says nothing about the source; chance is 0.5.
    `matched` is the mean over random parts of as many images of each class as are held out, `floor` that of held-out
    real images in place of the set. This classifier serves the measurement alone: nothing is trained, started or chosen
    by it. NaN where there are fewer groups than folds.
    """
    most = in_common(sides.train, sides.made)
    real, made = draw(sides.train, most, rng), draw(sides.made, most, rng)
    value = auc(real, made)
    low, high = interval(value, *(len(np.unique(side.groups)) for side in (real, made)))
    counts = in_common(sides.train, sides.made, sides.held_out)
    found = [(auc(x.train, x.made), auc(x.train, x.held_out)) for x in draws(sides, counts, DRAWS, rng)]
    matched, floor = np.mean(found, axis=0)
    return {
        "metric": "probe_auc", "value": value, "low": low, "high": high, "matched": matched, "floor": floor,
        "n_real": len(real), "n_synthetic": len(made), "n_matched": sum(counts.values()), "classes": tuple(counts),
    }  # fmt: skip


def auc(real: Images, other: Images) -> float:
    """The cross-validated AUC of a linear classifier that tells `other` from `real`: the mean over stratified folds.

    Images of one group are in the same fold. NaN if either side has fewer groups than folds.
    """
    if min(len(np.unique(side.groups)) for side in (real, other)) < FOLDS:
        return float("nan")
    both = Images(
        {name: np.concatenate([x, other.values[name]]) for name, x in real.values.items()},
        np.repeat([0, 1], [len(real), len(other)]),
        np.concatenate([real.groups, other.groups]),
    )
    found = []
    for train, test in StratifiedGroupKFold(FOLDS).split(both.labels, both.labels, both.groups):
        if len(set(both.labels[test])) == 2 == len(set(both.labels[train])):
            model = fitted(both.choose(train), both.labels[train])
            scores = model.decision_function(matrix(both.choose(test).values))
            found.append(roc_auc_score(both.labels[test], scores))
    return float(np.mean(found)) if found else float("nan")


def interval(area: float, m: int, n: int) -> tuple[float, float]:
    """95% interval of an AUC from m and n independent images (Newcombe, Statist. Med. 25:559, 2006, method 5).

    A score interval with the variance of Hanley and McNeil: it has a width at an AUC of 1, too. NaN for NaN.
    """
    if np.isnan(area):
        return area, area
    z, most = stats.norm.ppf((1 + LEVEL) / 2), (m + n) / 2 - 1

    def beyond(x: float) -> float:
        variance = x * (1 - x) * (1 + most * ((1 - x) / (2 - x) + x / (1 + x))) / (m * n)
        return (x - area) ** 2 - z**2 * variance

    inside = float(np.clip(area, 1e-9, 1 - 1e-9))  # at 0 and 1 themselves, the equation has a second root
    low, high = (end if end == area else float(brentq(beyond, end, inside)) for end in (0.0, 1.0))
    return low, high

"""Tables of scores with intervals, and of differences in scores: what evaluation/ holds besides the predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from sonosynth.evidence.blocks import Design, Scored, arranged, scored
from sonosynth.evidence.contrasts import TEST, estimate, satterthwaite
from sonosynth.evidence.judging import compared
from sonosynth.evidence.scores import ALL, EXCESS, PRIMARY, Metric, Score, class_names, of_every_class
from sonosynth.evidence.tests import LEVEL

COMPARED = ("accuracy", "auc", "ppv", "recall", "specificity", "recall_at_90_specificity", "brier", EXCESS)
"""The scores that are compared besides the one that decides: over all classes, and class by class."""
NOT_SHARES = frozenset({"brier", EXCESS})
"""Scores that don't lie between 0 and 1."""


def score(
    predictions: pd.DataFrame, *, groups: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """The scores of all arms, over all classes and of single classes, with 95% intervals.

    Args:
        predictions: as for `judge`.
        groups: group of an image by its id; images without one stand alone.

    Returns:
        One row per arm: each score, its standard deviation over runs (_sd) and its interval (_low, _high). And one row
        per arm, class and metric.

    Raises:
        ValueError: if the predictions don't fit together.
    """
    design = arranged(predictions, groups or {})
    arms, classes = scores(design, dict.fromkeys(design.runs, 0))
    return arms.drop(columns=["status", "n_train"]), classes


def scores(design: Design, n_train: Mapping[str, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores of every arm, over all classes and of single classes, with their intervals: see `interval`.

    Args:
        n_train: training images of each arm, in the order of the rows; an arm without predictions has a row that says
            so, and is empty.

    Returns:
        One row per arm: each score, its standard deviation over runs (_sd), its interval (_low, _high). And the scores
        of single classes, one per row: arm, class, metric, value, low, high.
    """
    groups = _groups_of_classes(design)
    counts = [count for count in groups.values() if count]
    independent = len(counts) ** 2 / sum(1 / count for count in counts)  # as in the variance of a mean of shares
    wide: dict[str, dict[str, object]] = {
        arm: {
            "arm": arm, "status": "run", "n_train": n_train[arm], "n_validation": design.folds.shape[1],
            "runs": sum(map(len, design.runs[arm])),
        } if arm in design.runs else {"arm": arm, "status": "not run"} for arm in n_train
    }  # fmt: skip
    long: list[tuple[object, ...]] = []
    for metric, score in of_every_class(list(groups)).items():
        known = {arm: scored(design, arm, score) for arm in design.runs}
        n = independent if metric.of == ALL else max(groups[metric.of], 1)
        for arm, own in known.items():
            low, high = interval(design, own, None if metric.name in NOT_SHARES else n)
            if metric.of != ALL:
                long.append((arm, metric.of, metric.name, own.value, low, high))
                continue
            spread = float(own.runs.std(ddof=1)) if len(own.runs) > 1 else np.nan
            named = {"": own.value, "_sd": spread, "_low": low, "_high": high}
            wide[arm] |= {metric.name + end: value for end, value in named.items()}
    classes = pd.DataFrame(long, columns=["arm", "class", "metric", "value", "low", "high"])
    order = {arm: place for place, arm in enumerate(n_train)}
    return pd.DataFrame(wide.values()), classes.sort_values("arm", key=lambda x: x.map(order), kind="stable")


def interval(design: Design, own: Scored, n: float | None) -> tuple[float, float]:
    """The 95% interval of a score, over images by group and over what is repeated; NaN without influences.

    The variance is that of `contrasts.Estimate`, its degrees of freedom those of Satterthwaite (Biometrics 1946); where
    nothing is repeated, it is that of the images alone. For a share it is Wilson's interval at the number of images
    that has this variance, which stays within 0 and 1, and is not empty at either end.

    Args:
        n: independent images behind the score, used where its variance is 0; None for a score that is no share.
    """
    found = estimate(design, own)
    further = found.further()
    variance = found.images + further
    freedom = satterthwaite([(found.images, found.of_groups), (further, found.freedom)])
    freedom = freedom if variance > 0 else found.of_groups  # runs that all agree are no reason to doubt the images
    if not np.isfinite(variance):
        return float("nan"), float("nan")
    t, value = float(stats.t.ppf((1 + LEVEL) / 2, freedom)), own.value
    if n is None:
        reach = t * np.sqrt(variance)
        return value - reach, value + reach
    inner = max(value * (1 - value), 0.0)
    count = inner / variance if inner > 0 and variance > 0 else n
    centre, reach = value + t**2 / (2 * count), t * np.sqrt(inner / count + t**2 / (4 * count**2))
    low, high = np.clip(np.array([centre - reach, centre + reach]) / (1 + t**2 / count), 0, 1)
    return min(float(low), value), max(float(high), value)


def differences(design: Design, pairs: Mapping[str, Sequence[str]], transfer: float) -> pd.DataFrame:
    """The differences of arms from those in `pairs` in the scores `COMPARED`: the columns of judging, and class.

    Intervals and p values are those of single tests: no finding rests on them.
    """
    every = of_every_class(list(_groups_of_classes(design)))
    wanted = {metric: score for metric, score in every.items() if metric.name in COMPARED and metric != PRIMARY}
    return contrasts_by(wanted, design, pairs, transfer)


def contrasts_by(
    scores: Mapping[Metric, Score], design: Design, pairs: Mapping[str, Sequence[str]], transfer: float
) -> pd.DataFrame:
    """The differences of arms from those in `pairs` by some scores: see `differences`."""
    rows = []
    for metric, score in scores.items():
        for arm, tested in compared(design, pairs, score, transfer).items():
            for other, found in zip(pairs[arm], tested, strict=True):
                low, high = found.value - found.reach(), found.value + found.reach()
                p = found.p if np.isfinite(found.error) else np.nan
                rows.append((arm, other, metric.of, metric.name, found.value, low, high, TEST, p))
    names = ["arm", "against", "class", "metric", "difference", "low", "high", "test", "p"]
    return pd.DataFrame(rows, columns=names)


def _groups_of_classes(design: Design) -> dict[str, int]:
    """In how many groups each class has images, in the order of the classes."""
    runs = [of_draw[0] for of_draw in next(iter(design.runs.values()))]
    labels = np.concatenate([run.rows["label"] for run in runs])
    groups = design.groups[np.concatenate([run.places for run in runs])]
    found = pd.Series(groups).groupby(labels).nunique()
    return {name: int(found.get(name, 0)) for name in class_names(runs[0].rows)}

"""ROC and calibration curves with 95% intervals over groups of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from sonosynth.evidence.tests import LEVEL, wilson

BINS, RESAMPLES = 5, 200
RATES = np.linspace(0, 1, 51)
"""The false positive rates at which a ROC curve is given."""


@dataclass(frozen=True)
class Roc:
    """Sensitivity at each of `RATES`, mean over classes, with its pointwise interval: three arrays (51,)."""

    sensitivity: np.ndarray
    low: np.ndarray
    high: np.ndarray


def codes(ids: pd.Series, groups: Mapping[str, str]) -> np.ndarray:
    """A number (N,) for the group of each image, by id; an image without one is its own."""
    named = [("group", groups[name]) if groups.get(name) else ("image", name) for name in ids]
    return pd.factorize(pd.Series(named))[0]


def roc(truth: np.ndarray, scores: np.ndarray, groups: np.ndarray, trainings: np.ndarray) -> Roc:
    """The mean of the ROC curves of all trainings at equal false positive rates (Fawcett, Pattern Recogn Lett 2006).

    However many trainings there are, the mean is that of one, and the area below it the mean of their AUCs, those of
    folds by their images: scores that are averaged over trainings would gain from the number of these. The interval is
    that of a bootstrap which draws whole groups of images (Field and Welsh, JRSS B 2007) and, independently, all
    trainings but one (Rao and Wu, JASA 1988), so that neither is taken to be fixed; where trainings have images of
    their own, these count twice.

    Args:
        truth: (N, K) bool, K classes, each against the rest; N predictions, an image's by each training. scores:
            (N, K), higher means true. groups, trainings: (N,) int, from 0 on.
    """
    rng = np.random.default_rng(0)
    count, of = int(trainings.max()) + 1, int(groups.max()) + 1
    weights = np.vstack([np.ones(of), rng.multinomial(of, np.full(of, 1 / of), RESAMPLES)])
    drawn = np.vstack([np.ones(count), rng.multinomial(max(count - 1, 1), np.full(count, 1 / count), RESAMPLES)])
    total = known = np.zeros((RESAMPLES + 1, len(RATES)))
    for number, of_class in product(range(count), range(truth.shape[1])):
        own = trainings == number
        curve = _curves(truth[own, of_class], scores[own, of_class], weights[:, groups[own]])
        times = drawn[:, [number]] * own.sum()
        total = total + times * np.nan_to_num(curve)
        known = known + times * np.isfinite(curve)
    curves = np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)
    low, high = np.nanquantile(curves[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Roc(curves[0], low, high)


def _curves(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sensitivities (B, 51) for each row of the images' weights (B, N); NaN where one side has no weight."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # images with the same score are passed together
    hits, alarms = (
        np.hstack([np.zeros((len(weights), 1)), np.cumsum(weights[:, order] * side, axis=1)[:, last]])
        for side in (truth[order], ~truth[order])
    )
    found = np.full((len(weights), len(RATES)), np.nan)
    for row, (up, down) in enumerate(zip(hits, alarms, strict=True)):
        if up[-1] and down[-1]:
            found[row] = np.interp(RATES, down / down[-1], up / up[-1])
    return found


def calibration(
    truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, trainings: np.ndarray
) -> pd.DataFrame:  # fmt: skip
    """Predicted and observed frequencies in `BINS` bins of equal width, those with images alone, of all trainings.

    Args:
        truth: (N, K) bool. probabilities: (N, K). groups, trainings: (N,), as in `roc`.

    Returns:
        predicted, observed, low, high, images: one row per bin; images: those of one run, on average. The interval is
        Wilson's, of as many trials as a run has groups in the bin: images of one group are taken to tell no more than
        one of them, and several runs no more than one.
    """
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    pairs = np.column_stack([trainings, groups])
    runs = len(np.unique(pairs, axis=0)) / len(np.unique(groups))
    rows = []
    for number in range(BINS):
        own = place == number
        if own.any():
            inside = np.unique(pairs[own.any(axis=1)], axis=0)
            observed, n = float(truth[own].mean()), max(round(len(inside) / runs), 1)
            low, high = wilson(round(observed * n), n)
            rows.append(
                (probabilities[own].mean(), observed, min(low, observed), max(high, observed), own.sum() / runs)
            )
    return pd.DataFrame(rows, columns=["predicted", "observed", "low", "high", "images"])

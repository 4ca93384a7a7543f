"""ROC and calibration curves with 95% intervals over groups of images."""

from collections.abc import Mapping
from dataclasses import dataclass

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


def roc(truth: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> Roc:
    """The ROC curve, and its interval by a bootstrap that draws whole groups of images (Field and Welsh, JRSS B 2007).

    Args:
        truth: (N, K) bool, K classes, each against the rest. scores: (N, K), higher means true. groups: (N,) int, from
            0 on.
    """
    drawn = np.random.default_rng(0).multinomial(
        groups.max() + 1, np.full(groups.max() + 1, 1 / (groups.max() + 1)), RESAMPLES
    )
    weights = np.vstack([np.ones(len(groups)), drawn[:, groups]])
    curves = np.mean([_curves(truth[:, k], scores[:, k], weights) for k in range(truth.shape[1])], axis=0)
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


def calibration(truth: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> pd.DataFrame:
    """Predicted and observed frequencies in `BINS` bins of equal width, those with images alone.

    Args:
        truth: (N, K) bool. probabilities: (N, K). groups: (N,).

    Returns:
        predicted, observed, low, high, images: one row per bin. The interval is Wilson's, of as many trials as there
        are groups in the bin: images of one group are taken to tell no more than one of them.
    """
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        own = place == number
        if own.any():
            observed, n = float(truth[own].mean()), len(np.unique(groups[own.any(axis=1)]))
            low, high = wilson(round(observed * n), n)
            rows.append((probabilities[own].mean(), observed, min(low, observed), max(high, observed), int(own.sum())))
    return pd.DataFrame(rows, columns=["predicted", "observed", "low", "high", "images"])

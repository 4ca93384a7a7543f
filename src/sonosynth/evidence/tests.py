"""Is a difference more than chance? Exact tests and intervals for classifiers on one validation set."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
"""The confidence level of every interval."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95% interval (low, high) of a proportion, `successes` of `n` (Wilson, JASA 1927).

    Raises:
        ValueError: unless 0 <= successes <= n and n >= 1.
    """
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided p of the exact McNemar test: are two classifiers equally often right on the same images?

    McNemar, Psychometrika 1947; exact: the images that one alone gets right are binomial with 1/2.

    Args:
        correct_a, correct_b: (N,) bool.

    Raises:
        ValueError: if the shapes differ.
    """
    correct_a, correct_b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if correct_a.shape != correct_b.shape:
        raise ValueError(f"shapes {correct_a.shape} and {correct_b.shape}; the same images are expected")
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def delong(labels: np.ndarray, scores_a: np.ndarray, scores_b: np.ndarray) -> tuple[float, float, float, float]:
    """Compare two AUCs on the same images (DeLong et al., Biometrics 1988; midranks as Sun and Xu, SPL 2014).

    Args:
        labels: (N,) bool, both values present, at least twice each. scores_a, scores_b: (N,), higher means True.

    Returns:
        auc_a, auc_b, z of their difference a - b, two-sided p.

    Raises:
        ValueError: if the shapes don't fit or a class has fewer than 2 images.
    """
    labels, scores = np.asarray(labels, bool), np.asarray([scores_a, scores_b], np.float64)
    m, n = int(labels.sum()), int((~labels).sum())
    if scores.shape != (2, len(labels)) or min(m, n) < 2:
        raise ValueError(f"{m} true and {n} false labels, scores {scores.shape}; 2 of each and (2, {m + n}) are needed")
    # For each positive image the share of negatives below it, for each negative that of positives above; ties half.
    ranks = stats.rankdata(scores, axis=1)
    above = (ranks[:, labels] - stats.rankdata(scores[:, labels], axis=1)) / n
    below = 1 - (ranks[:, ~labels] - stats.rankdata(scores[:, ~labels], axis=1)) / m
    auc_a, auc_b = above.mean(axis=1)
    covariance = np.cov(above) / m + np.cov(below) / n
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-18:  # the same ranking of all images, or two perfect ones
        return (
            float(auc_a),
            float(auc_b),
            0.0 if auc_a == auc_b else float(np.copysign(np.inf, auc_a - auc_b)),
            float(auc_a == auc_b),
        )
    z = (auc_a - auc_b) / np.sqrt(variance)
    return float(auc_a), float(auc_b), float(z), float(2 * stats.norm.sf(abs(z)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (K,) float64 of a family of tests, in the given order (Holm, SJS 1979)."""
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return adjusted

"""Scores as one number, and how much each image moves it: what a variance over groups of images is made of."""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]
"""From labels (N,) int, probabilities (N, K) and folds (N,) int to a score, and the influence of each image on it (N,):
how much the score moves as the image counts more, to first order. Influences add up to 0."""


def macro_f1(labels: np.ndarray, probabilities: np.ndarray, folds: np.ndarray) -> tuple[float, np.ndarray]:
    """F1, unweighted mean over classes, of predictions pooled over folds: see `Score`.

    A class of n images, predicted m times and t times correctly, has 2 t / (n + m); one that neither has images nor is
    predicted has 0.
    """
    k = probabilities.shape[1]
    truth, decisions = np.eye(k)[labels], np.eye(k)[probabilities.argmax(axis=1)]
    both = np.maximum(truth.sum(axis=0) + decisions.sum(axis=0), 1)
    f1 = 2 * (truth * decisions).sum(axis=0) / both
    return float(f1.mean()), ((2 * truth * decisions - f1 * (truth + decisions)) / both).mean(axis=1)


def mean_auc(labels: np.ndarray, probabilities: np.ndarray, folds: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC of each class against the rest, mean over classes and folds: see `Score`.

    Within folds, since the probabilities of two classifiers have no common scale. The influences are those behind
    DeLong's variance (Biometrics 1988). A class that a fold lacks, or that is its only one, is left out of that fold.
    """
    parts = []
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        for c in range(probabilities.shape[1]):
            positive = labels[rows] == c
            up, down = probabilities[rows[positive], c], probabilities[rows[~positive], c]
            if len(up) and len(down):
                ordered = (up[:, None] > down) + 0.5 * (up[:, None] == down)
                parts.append((rows[positive], rows[~positive], ordered))
    influence = np.zeros(len(labels))
    for above, below, ordered in parts:
        influence[above] += (ordered.mean(axis=1) - ordered.mean()) / len(above) / len(parts)
        influence[below] += (ordered.mean(axis=0) - ordered.mean()) / len(below) / len(parts)
    return float(np.mean([ordered.mean() for *_, ordered in parts])), influence


SCORES: dict[str, Score] = {"f1": macro_f1, "auc": mean_auc}
"""By the names that tables give them."""

"""Scores as one number, and how much each image moves it: what a variance over groups of images is made of."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

Valued = tuple[float, np.ndarray]
Score = Callable[[pd.DataFrame], Valued]
"""From predictions of one arm, draw and run, with the columns label, split and p_<class>, to a score, and the influence
of each of their N images on it (N,): how much the score moves as the image counts more, to first order. Influences add
up to 0. They are NaN for a score that they don't describe, or that can't be computed."""

SPECIFICITY = 0.9
NEAR = 0.05  # on either side of 1 - SPECIFICITY: where the slope of the ROC curve is measured
BINS = 10
ALL = ""  # classes together: no class is called that


class Metric(NamedTuple):
    """What a score measures: by itself over all classes together, or of the class `of` alone."""

    name: str
    of: str = ALL


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The classes, in the order of their columns."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def of_every_class(classes: list[str]) -> dict[Metric, Score]:
    """All scores of classifiers: of each class, and over all classes together.

    Over all: accuracy; balanced_accuracy, the mean recall; f1, auc, ppv and recall, each the unweighted mean over
    classes; brier (0 to 2, summed over classes); calibration_error, the ECE of the predicted class in 10 bins (Guo et
    al., ICML 2017), whose bias no influence describes. Of a class: f1, auc, ppv, recall, specificity,
    recall_at_90_specificity, and excess, the mean probability of the class minus its share of the images.
    """
    together = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "f1": macro_f1, "auc": mean_auc}
    together |= {"ppv": mean_ppv, "recall": balanced_accuracy, "brier": brier, "calibration_error": calibration_error}
    by_class = {
        "f1": f1, "auc": auc, "ppv": ppv, "recall": recall, "specificity": specificity,
        "recall_at_90_specificity": recall_at_90_specificity, EXCESS: excess,
    }  # fmt: skip
    found: dict[Metric, Score] = {Metric(name): score for name, score in together.items()}
    return found | {
        Metric(name, label): partial(score, of=k) for k, label in enumerate(classes) for name, score in by_class.items()
    }


def accuracy(rows: pd.DataFrame) -> Valued:
    """Share of images whose class has the largest probability: see `Score`."""
    truth, decisions, _ = _read(rows)
    return ratio((truth * decisions).sum(axis=1), np.ones(len(rows)))


def f1(rows: pd.DataFrame, of: int) -> Valued:
    """F1 of one class: see `Score`. A class that neither has images nor is predicted has 0."""
    return _f1(*_read(rows)[:2], of)


def _f1(truth: np.ndarray, decisions: np.ndarray, of: int) -> Valued:
    return ratio(2 * truth[:, of] * decisions[:, of], truth[:, of] + decisions[:, of], empty=0)


def macro_f1(rows: pd.DataFrame) -> Valued:
    """F1, unweighted mean over classes, of predictions pooled over folds: see `Score`."""
    return _mean(rows, _f1)


def ppv(rows: pd.DataFrame, of: int) -> Valued:
    """Positive predictive value of one class: see `Score`. 0 if it is never predicted, as in the paper's scripts."""
    return _ppv(*_read(rows)[:2], of)


def _ppv(truth: np.ndarray, decisions: np.ndarray, of: int) -> Valued:
    return ratio(truth[:, of] * decisions[:, of], decisions[:, of], empty=0)


def mean_ppv(rows: pd.DataFrame) -> Valued:
    """Positive predictive value, unweighted mean over classes: see `Score`."""
    return _mean(rows, _ppv)


def recall(rows: pd.DataFrame, of: int) -> Valued:
    """Recall (sensitivity) of one class: see `Score`."""
    return _recall(*_read(rows)[:2], of)


def _recall(truth: np.ndarray, decisions: np.ndarray, of: int) -> Valued:
    return ratio(truth[:, of] * decisions[:, of], truth[:, of])


def balanced_accuracy(rows: pd.DataFrame) -> Valued:
    """Recall, unweighted mean over classes: see `Score`."""
    return _mean(rows, _recall)


def specificity(rows: pd.DataFrame, of: int) -> Valued:
    """Share of the images of other classes that are not called this one: see `Score`."""
    truth, decisions, _ = _read(rows)
    return ratio((1 - truth[:, of]) * (1 - decisions[:, of]), 1 - truth[:, of])


def brier(rows: pd.DataFrame) -> Valued:
    """Brier score, summed over classes, 0 to 2; smaller is better: see `Score`."""
    truth, _, probabilities = _read(rows)
    return ratio(((probabilities - truth) ** 2).sum(axis=1), np.ones(len(rows)))


def excess(rows: pd.DataFrame, of: int) -> Valued:
    """Mean probability of one class minus its share of the images: 0 if calibrated in the large; see `Score`."""
    truth, _, probabilities = _read(rows)
    return ratio(probabilities[:, of] - truth[:, of], np.ones(len(rows)))


def calibration_error(rows: pd.DataFrame) -> Valued:
    """Expected calibration error of the predicted class in 10 bins; no influences: it sums absolute gaps."""
    truth, decisions, probabilities = _read(rows)
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, (truth * decisions).sum(axis=1) - confidence)
    return float(np.abs(gaps).sum() / len(rows)), np.full(len(rows), np.nan)


def auc(rows: pd.DataFrame, of: int) -> Valued:
    """AUC of one class against the rest, mean over folds: see `mean_auc`."""
    return _aucs(rows, [of])


def mean_auc(rows: pd.DataFrame) -> Valued:
    """AUC of each class against the rest, mean over classes and folds, these by their images: see `Score`.

    Within folds, since the probabilities of two classifiers have no common scale. The influences are those behind
    DeLong's variance (Biometrics 1988). A class that a fold lacks, or that is its only one, is left out of that fold.
    """
    return _aucs(rows, range(len(class_names(rows))))


def recall_at_90_specificity(rows: pd.DataFrame, of: int) -> Valued:
    """The largest recall of a class at which a tenth of the others at most is called it, mean over folds: see `Score`.

    The threshold is an estimate, too: its influence is the slope of the ROC curve there times that of the specificity
    (Hsieh and Turnbull, Ann. Statist. 1996, theorem 2.2).
    """
    influence, values, parts = np.zeros(len(rows)), [], []
    for up, down, scores in _sides(rows, of):
        below = np.sort(scores[down])[::-1]

        def reached(share: float, up: np.ndarray = up, below: np.ndarray = below, scores: np.ndarray = scores) -> float:
            return float((scores[up] > below[min(int(share * len(below) + 1e-9), len(below) - 1)]).mean())

        threshold = below[min(int((1 - SPECIFICITY) * len(below) + 1e-9), len(below) - 1)]
        values.append(reached(1 - SPECIFICITY))
        parts.append(np.append(up, down))
        slope = (reached(1 - SPECIFICITY + NEAR) - reached(1 - SPECIFICITY - NEAR)) / (2 * NEAR)
        passed, false = scores[up] > threshold, scores[down] > threshold
        influence[up] += len(parts[-1]) * (passed - passed.mean()) / len(up)
        influence[down] -= len(parts[-1]) * slope * (false - false.mean()) / len(down)
    return _over_folds(values, influence, parts) if values else _nothing(rows)


def mean_dice(rows: pd.DataFrame) -> Valued:
    """Mean over images of the column `dice`: see `Score`."""
    return ratio(rows["dice"].to_numpy(np.float64), np.ones(len(rows)))


PRIMARY, EXCESS = Metric("f1"), "excess"
DECISIVE: dict[str, Score] = {"f1": macro_f1, "auc": mean_auc, "dice": mean_dice}
"""The scores that arms can be judged by, by the names that tables give them."""


def _read(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and decisions (N, K), 0 or 1, and probabilities (N, K)."""
    classes = class_names(rows)
    probabilities = np.column_stack([rows[f"p_{name}"].to_numpy(np.float64) for name in classes])
    unit = np.eye(len(classes))
    labels = pd.Categorical(rows["label"], classes).codes
    return unit[labels], unit[probabilities.argmax(axis=1)], probabilities


def _nothing(rows: pd.DataFrame) -> Valued:
    return float("nan"), np.full(len(rows), np.nan)


def ratio(above: np.ndarray, below: np.ndarray, empty: float = float("nan")) -> Valued:
    """The ratio of two sums over images; `empty` if there is nothing to divide by."""
    total = below.sum()
    if not total:
        return empty, np.zeros(len(below)) if empty == 0 else np.full(len(below), np.nan)
    value = above.sum() / total
    return float(value), (above - value * below) / total


def _mean(rows: pd.DataFrame, score: Callable[[np.ndarray, np.ndarray, int], Valued]) -> Valued:
    """The unweighted mean over classes."""
    truth, decisions, _ = _read(rows)
    found = [score(truth, decisions, k) for k in range(truth.shape[1])]
    return float(np.mean([value for value, _ in found])), np.mean([influence for _, influence in found], axis=0)


def _sides(rows: pd.DataFrame, of: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each fold that has both: the positions of a class's images and of the others, and the probabilities (N,)."""
    truth, _, probabilities = _read(rows)
    positive, folds = truth[:, of] > 0, rows["split"].to_numpy()
    parts = [
        (np.flatnonzero((folds == f) & positive), np.flatnonzero((folds == f) & ~positive)) for f in np.unique(folds)
    ]
    return [(up, down, probabilities[:, of]) for up, down in parts if len(up) and len(down)]


def _aucs(rows: pd.DataFrame, of: list[int] | range) -> Valued:
    """The mean AUC over some classes and all folds."""
    influence, values, parts = np.zeros(len(rows)), [], []
    for up, down, scores in (side for k in of for side in _sides(rows, k)):
        ordered = (scores[up][:, None] > scores[down]) + 0.5 * (scores[up][:, None] == scores[down])
        value = ordered.mean()
        values.append(value)
        parts.append(np.append(up, down))
        influence[up] += len(parts[-1]) * (ordered.mean(axis=1) - value) / len(up)
        influence[down] += len(parts[-1]) * (ordered.mean(axis=0) - value) / len(down)
    return _over_folds(values, influence, parts) if values else _nothing(rows)


def _over_folds(values: list[float], influence: np.ndarray, parts: list[np.ndarray]) -> Valued:
    """The mean of values that were taken fold by fold, and class by class, weighted by their images; the influences.

    Within a fold, influences add up to 0. How much its value differs from the mean is the influence of all its images
    alike: without it, folds would seem not to scatter.

    Args:
        influence: of each image (N,) on the value of its fold, times the number of images there, summed over classes.
        parts: the images of each value.
    """
    sizes = [len(rows) for rows in parts]
    mean = float(np.average(values, weights=sizes))
    for value, rows in zip(values, parts, strict=True):
        influence[rows] += value - mean
    return mean, influence / sum(sizes)

"""Scores of the arms, from their predictions alone, with intervals over the validation images and the seeds.

The labels are the same in all arms, so one set of bootstrap draws serves them all, and differences are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonosynth import seeding
from sonosynth.evidence.tests import LEVEL, group_weights

RESAMPLES = 2000
SPECIFICITY = 0.9
BINS = 10
ALL = ""  # classes together: no class is called that


class Metric(NamedTuple):
    """What a score measures: by itself over all classes together, or of the class `of` alone."""

    name: str
    of: str = ALL


ACCURACY, F1 = Metric("accuracy"), Metric("f1")
BIASED = frozenset({"calibration_error"})
"""Metrics that get no bootstrap interval. The calibration error sums absolute gaps: resampling noise enlarges each of
them, so resampled values lie above the estimate that their interval should contain."""


def score(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], weights: np.ndarray | None = None
) -> dict[Metric, np.ndarray]:
    """All scores of one classifier, each (R,): one value for each row of `weights`.

    Over all classes: accuracy; balanced_accuracy, the mean recall; f1, auc (one class against the rest), ppv and
    recall, each the unweighted mean over classes; brier (0 to 2, summed over classes); calibration_error, the ECE of
    the predicted class in 10 bins (Guo et al., ICML 2017). Of each class: f1, auc, ppv, recall, and
    recall_at_90_specificity, the largest recall at which at most a tenth of the others is predicted as the class. A
    class that is never predicted has PPV 0, as in the paper's scripts; a class without images gives NaN.

    Args:
        labels: (N,) int, 0 to K - 1. probabilities: (N, K); the largest is the predicted class. classes: K names.
        weights: (R, N), how often each image counts; once each without.
    """
    n, k = probabilities.shape
    weights = np.ones((1, n)) if weights is None else np.asarray(weights, np.float64)
    predicted_class = probabilities.argmax(axis=1)
    truth, decisions = np.eye(k)[labels], np.eye(k)[predicted_class]
    hits, actual, predicted = weights @ (truth * decisions), weights @ truth, weights @ decisions
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / actual
        of_class = {
            "f1": np.where(actual > 0, 2 * hits / (actual + predicted), np.nan),
            "auc": np.stack([_auc(truth[:, c] > 0, probabilities[:, c], weights) for c in range(k)], axis=1),
            "ppv": np.where(predicted > 0, hits / predicted, 0.0),
            "recall": recall,
            "recall_at_90_specificity": np.stack(
                [_recall_at(truth[:, c] > 0, probabilities[:, c], weights) for c in range(k)], axis=1
            ),
        }
        confidence = probabilities.max(axis=1)
        bins = np.eye(BINS)[np.minimum((confidence * BINS).astype(int), BINS - 1)]
        gaps = np.abs(weights @ (bins * ((predicted_class == labels) - confidence)[:, None]))
    together = {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": recall.mean(axis=1),
        **{name: of_class[name].mean(axis=1) for name in ("f1", "auc", "ppv", "recall")},
        "brier": weights @ ((probabilities - truth) ** 2).sum(axis=1) / total,
        "calibration_error": gaps.sum(axis=1) / total,
    }
    found = {Metric(name): values for name, values in together.items()}
    return found | {Metric(name, of): values[:, c] for c, of in enumerate(classes) for name, values in of_class.items()}


def _auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,): share of pairs in the right order; ties count half."""
    up, down = scores[positive], scores[~positive]
    ordered = (up[:, None] > down[None]) + 0.5 * (up[:, None] == down[None])
    w, v = weights[:, positive], weights[:, ~positive]
    return ((w @ ordered) * v).sum(axis=1) / (w.sum(axis=1) * v.sum(axis=1))


def _recall_at(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,): the largest recall at a specificity of at least `SPECIFICITY`."""
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    up = np.cumsum(weights[:, order] * positive[order], axis=1)
    down = np.cumsum(weights[:, order] * ~positive[order], axis=1)
    allowed = last_of_ties & (down <= (1 - SPECIFICITY) * down[:, -1:] + 1e-9)
    return np.where(allowed, up, 0).max(axis=1) / up[:, -1]


@dataclass(frozen=True)
class Scored:
    """One arm's scores. point: the mean over runs (repeats and seeds). runs: (S,), one value per run. draws: (R,), the
    bootstrap values of that mean.
    """

    point: dict[Metric, float]
    runs: dict[Metric, np.ndarray]
    draws: dict[Metric, np.ndarray]

    def interval(self, metric: Metric) -> tuple[float, float]:
        """95% interval (low, high) of a score; NaN where the bootstrap is biased, see `BIASED` and `holding`."""
        if metric.name in BIASED:
            return np.nan, np.nan
        return holding(self.point[metric], *quantiles(self.draws[metric]))


def quantiles(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95% of bootstrap values (R,), NaN ignored."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.nanquantile(draws, tails) if np.isfinite(draws).any() else (np.nan, np.nan)
    return float(low), float(high)


def holding(value: float, low: float, high: float) -> tuple[float, float]:
    """The interval (low, high), or NaN for both unless low <= value <= high.

    A percentile bootstrap whose middle 95% leaves out the estimate that it resamples is biased by more than its spread,
    so it does not say where the score would fall. A value of NaN has no interval.
    """
    return (low, high) if low <= value <= high else (np.nan, np.nan)


def class_names(predictions: pd.DataFrame) -> list[str]:
    """The classes, in the order of their columns."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def score_arm(predictions: pd.DataFrame, groups: dict[str, str], resamples: int = RESAMPLES) -> Scored:
    """Scores of one arm. Images are drawn by group, seeds with replacement; other arms get the same draws.

    Args:
        predictions: the columns repeat, seed, id, label and p_<class> of one arm.
        groups: name of the group of an image by its id; images without one stand alone.
    """
    classes = class_names(predictions)
    values: list[dict[Metric, np.ndarray]] = []
    points: list[dict[Metric, np.ndarray]] = []
    for _, part in predictions.groupby(["repeat", "seed"], sort=True):
        ordered = part.sort_values("id")
        labels = ordered["label"].map(classes.index).to_numpy()
        probabilities = ordered[[f"p_{name}" for name in classes]].to_numpy(np.float64)
        names = np.array([groups.get(id) or f"image {id}" for id in ordered["id"]])
        # The draws are named by the images, so that they are the same in every arm, and for every seed.
        weights = group_weights(names, resamples, seeding.numpy_generator(0, "bootstrap", *ordered["id"]))
        points.append(score(labels, probabilities, classes))
        values.append(score(labels, probabilities, classes, weights))
    drawn = seeding.numpy_generator(0, "bootstrap", "seeds").integers(len(points), size=(len(points), resamples))
    runs = {m: np.array([p[m][0] for p in points]) for m in points[0]}
    draws = {m: np.take_along_axis(np.stack([v[m] for v in values]), drawn, axis=0).mean(axis=0) for m in runs}
    return Scored({m: float(x.mean()) for m, x in runs.items()}, runs, draws)


def table(scored: dict[str, Scored | None], n_train: dict[str, int], n_validation: int) -> pd.DataFrame:
    """One row per arm: each score over all classes, its standard deviation over runs (_sd), its interval (_low, _high).

    Biased intervals are left out: see `Scored.interval`.

    Args:
        scored: arm to its scores, None for an arm that did not run: its row says so and is empty.
        n_train: training images of the arms that ran. n_validation: images that were scored.
    """
    rows: list[dict[str, object]] = []
    for arm, found in scored.items():
        if found is None:
            rows.append({"arm": arm, "status": "not run"})
            continue
        row = {
            "arm": arm, "status": "run", "n_train": n_train[arm], "n_validation": n_validation,
            "runs": len(found.runs[ACCURACY]),
        }  # fmt: skip
        for metric, value in found.point.items():
            if metric.of != ALL:
                continue
            name, runs, (low, high) = metric.name, found.runs[metric], found.interval(metric)
            spread = float(runs.std(ddof=1)) if len(runs) > 1 else np.nan
            row |= {name: value, f"{name}_sd": spread, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def class_table(scored: dict[str, Scored | None]) -> pd.DataFrame:
    """The scores of single classes, one per row: arm, class, metric, value, low, high; none of an arm that did not run.

    Biased intervals are left out: see `Scored.interval`.
    """
    rows = [
        (arm, metric.of, metric.name, value, *found.interval(metric))
        for arm, found in scored.items()
        if found
        for metric, value in found.point.items()
        if metric.of != ALL
    ]
    return pd.DataFrame(rows, columns=["arm", "class", "metric", "value", "low", "high"])

"""Is an arm better than real images alone? Differences with intervals and tests."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sonosynth.evidence.scores import ACCURACY, F1, Metric, Scored, class_names, holding, quantiles
from sonosynth.evidence.tests import delong, holm, mcnemar, nadeau_bengio

PRIMARY = F1
COLUMNS = ("arm", "against", "class", "metric", "difference", "low", "high", "test", "p", "p_holm")


@dataclass(frozen=True)
class Folds:
    """What the corrected t test needs to know about repeated splits.

    test_share: validation over training images of a split. blocks: the split of each repeat, by its number.
    """

    test_share: float
    blocks: Mapping[int, int]


def differences(
    predictions: pd.DataFrame, scored: Mapping[str, Scored | None], reference: str, folds: Folds | None = None
) -> pd.DataFrame:
    """Every arm against the arm `reference`: the columns `COLUMNS`; class is empty for scores over all classes.

    Macro F1 (the primary one), accuracy and every class's recall by the paired bootstrap. On one split, where both arms
    have equally many runs, also accuracy by the exact McNemar test and each class's AUC by DeLong's, both on the mean
    probabilities over runs; over several splits, F1 and accuracy by the corrected t test of Nadeau and Bengio instead.
    p_holm is adjusted over the arms, by class, metric and test. low and high are NaN where a test has no interval, and
    where the bootstrap's would not hold the difference, see `scores.holding`.

    Args:
        predictions: the columns arm, repeat, seed, id, label and p_<class>.
        scored: arm to its scores, None if it did not run.
        folds: where the repeats are splits, else None.
    """
    base = scored[reference]
    assert base is not None, "the reference ran, or there is nothing to compare"
    classes = class_names(predictions)
    rows: list[dict[str, object]] = []
    for arm, found in scored.items():
        if arm == reference or found is None:
            continue
        point = {metric: found.point[metric] - base.point[metric] for metric in found.point}

        def add(metric: Metric, test: str, p: float, low: float = np.nan, high: float = np.nan, *,
                arm: str = arm, point: Mapping[Metric, float] = point) -> None:  # fmt: skip
            low, high = holding(point[metric], low, high)
            named = {"arm": arm, "against": reference, "class": metric.of, "metric": metric.name}
            rows.append({**named, "difference": point[metric], "low": low, "high": high, "test": test, "p": p})

        for metric in (PRIMARY, ACCURACY, *(Metric("recall", name) for name in classes)):
            gaps = found.draws[metric] - base.draws[metric]
            add(metric, "bootstrap", _two_sided(gaps), *quantiles(gaps))
        if folds:
            for metric in (PRIMARY, ACCURACY):
                ours, theirs = (
                    _by_block(predictions, scores, metric, name, folds.blocks)
                    for scores, name in ((found, arm), (base, reference))
                )
                low, high, p = nadeau_bengio(ours - theirs, folds.test_share)
                add(metric, "nadeau-bengio", p, low, high)
            continue
        if len(found.runs[PRIMARY]) != len(base.runs[PRIMARY]):
            continue  # the mean of more runs is better for that reason alone
        labels, ours = _ensemble(predictions, arm, classes)
        _, theirs = _ensemble(predictions, reference, classes)
        p = mcnemar(ours.argmax(axis=1) == labels, theirs.argmax(axis=1) == labels)
        add(ACCURACY, "mcnemar", p)
        for k, name in enumerate(classes):
            if min((labels == k).sum(), (labels != k).sum()) >= 2:
                p = delong(labels == k, ours[:, k], theirs[:, k])[3]
                add(Metric("auc", name), "delong", p)
    table = pd.DataFrame(rows, columns=COLUMNS)
    if len(table):
        table["p_holm"] = table.groupby(["class", "metric", "test"])["p"].transform(lambda p: holm(p.to_numpy()))
    return table


def _two_sided(gaps: np.ndarray) -> float:
    """p of the bootstrap: twice the smaller share of draws on either side of 0; never 0, since draws are finite."""
    gaps = gaps[np.isfinite(gaps)]
    tail = min((gaps <= 0).sum(), (gaps >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(gaps) + 1)))


def _ensemble(predictions: pd.DataFrame, arm: str, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) int and mean probabilities over seeds (N, K), ordered by id."""
    columns = [f"p_{name}" for name in classes]
    of_arm = predictions[predictions["arm"] == arm].groupby("id")
    probabilities = of_arm[columns].mean()
    return of_arm["label"].first().map(classes.index).to_numpy(), probabilities.to_numpy()


def _by_block(
    predictions: pd.DataFrame, scored: Scored, metric: Metric, arm: str, blocks: Mapping[int, int]
) -> np.ndarray:
    """(J,): the mean of a score over the seeds and generators of each split, in the splits' order."""
    keys = predictions[predictions["arm"] == arm][["repeat", "seed"]].drop_duplicates().sort_values(["repeat", "seed"])
    return pd.Series(scored.runs[metric]).groupby(keys["repeat"].map(blocks).to_numpy()).mean().to_numpy()

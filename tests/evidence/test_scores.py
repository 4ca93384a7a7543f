"""Scores are those of scikit-learn, and their influences what an image's weight does to them."""

import numpy as np
import pandas as pd
import pytest
from evidence_examples import CLASSES, drawn, predictions
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from sonosynth.evidence.scores import DECISIVE, Metric, mean_auc, mean_dice, of_every_class
from sonosynth.evidence.tests import delong

SCORES = of_every_class(list(CLASSES))
FOLDS = np.arange(120) % 3
ROWS = predictions("real", *drawn(), folds=FOLDS)
WITHOUT_INFLUENCES = {"calibration_error"}
STEPWISE = {"recall_at_90_specificity"}  # a quantile: it moves in steps as an image's weight grows


def test_scores_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    rows = predictions("real", labels, p)
    got = {metric: score(rows)[0] for metric, score in SCORES.items()}
    # Predicted 0 0 1 1 0 0: class 0 2 of 4 right, class 1 1 of 2, class 2 never predicted.
    assert got["accuracy", ""] == pytest.approx(3 / 6)
    assert got["ppv", ""] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert got["recall", ""] == got["balanced_accuracy", ""] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert [got["specificity", name] for name in CLASSES] == pytest.approx([1 / 3, 3 / 4, 1])
    assert [got["f1", name] for name in CLASSES] == pytest.approx([4 / 7, 1 / 2, 0])
    assert got["f1", ""] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert got["brier", ""] == pytest.approx(((p - np.eye(3)[labels]) ** 2).sum() / 6)
    assert got["excess", CLASSES[2]] == pytest.approx(0.1 - 1 / 6)
    # Bins: 0.5 (wrong); 0.6, 0.6 (one right); 0.7 (wrong); 0.8, 0.8 (right).
    assert got["calibration_error", ""] == pytest.approx((0.5 + abs(1 - 1.2) + 0.7 + abs(2 - 1.6)) / 6)


def test_scores_are_scikit_learns():
    labels, p = drawn()
    rows, called = predictions("real", labels, p), p.argmax(axis=1)
    got = {metric: score(rows)[0] for metric, score in SCORES.items()}
    assert got["accuracy", ""] == pytest.approx(accuracy_score(labels, called))
    assert got["balanced_accuracy", ""] == pytest.approx(balanced_accuracy_score(labels, called))
    assert got["f1", ""] == pytest.approx(f1_score(labels, called, average="macro"))
    assert got["ppv", ""] == pytest.approx(precision_score(labels, called, average="macro"))
    assert got["auc", ""] == pytest.approx(np.mean([roc_auc_score(labels == k, p[:, k]) for k in range(3)]))
    for k, name in enumerate(CLASSES):
        false, true, _ = roc_curve(labels == k, p[:, k], drop_intermediate=False)
        assert got["recall_at_90_specificity", name] == pytest.approx(true[false <= 0.1 + 1e-9].max())
        assert got["specificity", name] == pytest.approx(recall_score(labels != k, called != k))


def test_labels_are_pooled_over_folds_and_ranks_are_not():
    got = {metric: score(ROWS)[0] for metric, score in SCORES.items()}
    labels, p = drawn()
    assert got["f1", ""] == pytest.approx(f1_score(labels, p.argmax(axis=1), average="macro"))
    of_folds = [roc_auc_score(labels[f == FOLDS] == k, p[f == FOLDS, k]) for f in range(3) for k in range(3)]
    assert got["auc", ""] == pytest.approx(np.mean(of_folds))


@pytest.mark.parametrize("metric", SCORES, ids=str)
def test_an_influence_is_how_much_a_score_moves_with_an_images_weight(metric):
    score = SCORES[metric]
    value, influence = score(ROWS)
    if metric.name in WITHOUT_INFLUENCES:
        assert np.isnan(influence).all()
        return
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    many = pd.concat([ROWS] * 200)
    for row in (0, 17, 44) if metric.name not in STEPWISE else ():
        more = pd.concat([many, ROWS.iloc[[row]]])  # one image in 200 copies of the study: a weight of 1/200 more
        assert (score(more)[0] - value) * 200 == pytest.approx(influence[row], rel=0.03, abs=1e-5)


def test_the_influences_of_a_recall_at_a_threshold_give_its_variance():
    rng, score = np.random.default_rng(0), SCORES["recall_at_90_specificity", CLASSES[0]]
    found = []
    for _ in range(300):
        labels = np.repeat([0, 1], [120, 200])
        p = 1 / (1 + np.exp(-rng.normal(1.2 * (labels == 0), 1)))
        value, influence = score(predictions("real", labels, np.stack([p, 1 - p, 0 * p], axis=1)))
        found.append((value, (influence**2).sum()))
    values, variances = np.array(found).T
    assert variances.mean() == pytest.approx(values.var(), rel=0.3)


def test_the_influences_of_an_auc_give_delongs_variance():
    labels, p = drawn()
    value, influence = SCORES["auc", CLASSES[0]](predictions("real", labels, p))
    positive = labels == 0
    auc, _, z, _ = delong(positive, p[:, 0], np.zeros(120))  # against one that knows nothing: its variance alone
    up, down = positive.sum(), (~positive).sum()
    variance = up / (up - 1) * (influence[positive] ** 2).sum() + down / (down - 1) * (influence[~positive] ** 2).sum()
    assert value == pytest.approx(auc) and (auc - 0.5) / np.sqrt(variance) == pytest.approx(z)


def test_dice_is_a_mean_over_images():
    rows = ROWS.assign(dice=np.linspace(0, 1, 120))
    value, influence = mean_dice(rows)
    assert (value, influence.sum()) == pytest.approx((0.5, 0))
    assert influence == pytest.approx((rows["dice"] - 0.5) / 120)
    assert set(DECISIVE) == {"f1", "auc", "dice"}


def test_what_can_not_be_scored_has_no_number():
    one = predictions("real", np.zeros(10, int), np.tile([0.5, 0.3, 0.2], (10, 1)))
    assert np.isnan(SCORES[Metric("auc")](one)[0]) and np.isnan(SCORES[Metric("recall", CLASSES[1])](one)[0])
    assert SCORES[Metric("f1")](one)[0] == pytest.approx(1 / 3)


def test_folds_of_unequal_auc_scatter():
    """The influences of a fold's images add up to n_f / n times what its AUC differs from the mean."""
    rows = pd.concat([predictions("real", *drawn(60, seed, skill), split=seed) for seed, skill in ((0, 0.2), (1, 2.5))])
    rows = rows.reset_index(drop=True)
    value, influence = mean_auc(rows)
    of_fold = pd.Series([mean_auc(rows[rows["split"] == fold])[0] for fold in (0, 1)])
    sums = pd.Series(influence).groupby(rows["split"]).sum()
    assert value == pytest.approx(of_fold.mean())
    assert sums.to_numpy() == pytest.approx((of_fold - value).to_numpy() / 2)
    assert abs(sums[0]) > 0.05

import numpy as np
import pandas as pd
import pytest
from evidence_examples import drawn, predictions
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from sonosynth.evidence.scores import score, score_arm, table


def test_scores_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    got = {name: value[0] for name, value in score(labels, p).items()}
    # Predicted 0 0 1 1 0 0: class 0 2 of 4 right, class 1 1 of 2, class 2 never predicted.
    assert got["accuracy"] == pytest.approx(3 / 6)
    assert got["ppv"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert got["recall"] == got["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert [got[f"f1_{k}"] for k in range(3)] == pytest.approx([4 / 7, 1 / 2, 0])
    assert got["f1"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert got["brier"] == pytest.approx(((p - np.eye(3)[labels]) ** 2).sum() / 6)
    # Bins: 0.5 (wrong); 0.6, 0.6 (one right); 0.7 (wrong); 0.8, 0.8 (right).
    assert got["calibration_error"] == pytest.approx((0.5 + abs(1 - 1.2) + 0.7 + abs(2 - 1.6)) / 6)


def test_scores_are_scikit_learns_and_weights_are_repeated_images():
    labels, probabilities = drawn()
    weights = np.random.default_rng(1).integers(0, 3, (4, 120))
    got = score(labels, probabilities, weights)
    for r, row in enumerate(weights):
        y, p = np.repeat(labels, row), np.repeat(probabilities, row, axis=0)
        assert got["accuracy"][r] == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
        assert got["balanced_accuracy"][r] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
        assert got["f1"][r] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
        assert got["auc"][r] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in range(3)]))
        false, true, _ = roc_curve(y == 1, p[:, 1], drop_intermediate=False)
        assert got["recall_at_90_specificity_1"][r] == pytest.approx(true[false <= 0.1 + 1e-9].max())
        alone = score(y, p)
        for name in alone:
            assert got[name][r] == pytest.approx(alone[name][0]), name


def test_the_table_has_means_over_seeds_and_says_what_did_not_run():
    labels, _ = drawn()
    runs = [predictions("real", labels, drawn(seed=0, skill=s)[1], seed) for seed, s in enumerate((1, 2))]
    scored = score_arm(pd.concat(runs), {}, resamples=200)
    got = table({"real": scored, "real+sd": None}, {"real": 5}, 120).set_index("arm")
    accuracy = [(p[["p_benign", "p_malignant", "p_normal"]].to_numpy().argmax(axis=1) == labels).mean() for p in runs]
    assert got.loc["real", "accuracy"] == pytest.approx(np.mean(accuracy))
    assert got.loc["real", "accuracy_sd"] == pytest.approx(np.std(accuracy, ddof=1))
    assert got.loc["real", "accuracy_low"] < np.mean(accuracy) < got.loc["real", "accuracy_high"]
    assert got.loc["real+sd", "status"] == "not run"
    assert np.isnan(got.loc["real+sd", "accuracy"])
    assert "recall_malignant" in got


def test_intervals_know_of_groups():
    labels, probabilities = drawn()
    alone = score_arm(predictions("real", labels, probabilities), {})
    twice = pd.concat([predictions("real", labels, probabilities), predictions("real", labels, probabilities)])
    twice["id"] = [f"{i:03d}" for i in range(240)]
    pairs = score_arm(twice, {f"{i:03d}": f"pair {i % 120}" for i in range(240)})
    widths = [np.ptp(found.interval("accuracy")) for found in (alone, pairs, score_arm(twice, {}))]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.85 * widths[1]

import numpy as np
import pandas as pd
import pytest
from evidence_examples import CLASSES, drawn, predictions
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from sonosynth.evidence.contrasts import differences
from sonosynth.evidence.scores import ACCURACY, class_table, score, score_arm, table


def test_scores_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    scores = score(labels, p, CLASSES)
    got = {metric.name: value[0] for metric, value in scores.items() if not metric.of}
    # Predicted 0 0 1 1 0 0: class 0 2 of 4 right, class 1 1 of 2, class 2 never predicted.
    assert got["accuracy"] == pytest.approx(3 / 6)
    assert got["ppv"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert got["recall"] == got["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert [scores["f1", name][0] for name in CLASSES] == pytest.approx([4 / 7, 1 / 2, 0])
    assert got["f1"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert got["brier"] == pytest.approx(((p - np.eye(3)[labels]) ** 2).sum() / 6)
    # Bins: 0.5 (wrong); 0.6, 0.6 (one right); 0.7 (wrong); 0.8, 0.8 (right).
    assert got["calibration_error"] == pytest.approx((0.5 + abs(1 - 1.2) + 0.7 + abs(2 - 1.6)) / 6)


def test_scores_are_scikit_learns_and_weights_are_repeated_images():
    labels, probabilities = drawn()
    weights = np.random.default_rng(1).integers(0, 3, (4, 120))
    of_all = score(labels, probabilities, CLASSES, weights)
    got = {metric.name: values for metric, values in of_all.items() if not metric.of}
    for r, row in enumerate(weights):
        y, p = np.repeat(labels, row), np.repeat(probabilities, row, axis=0)
        assert got["accuracy"][r] == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
        assert got["balanced_accuracy"][r] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
        assert got["f1"][r] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
        assert got["auc"][r] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in range(3)]))
        false, true, _ = roc_curve(y == 1, p[:, 1], drop_intermediate=False)
        assert of_all["recall_at_90_specificity", CLASSES[1]][r] == pytest.approx(true[false <= 0.1 + 1e-9].max())
        alone = score(y, p, CLASSES)
        for metric in alone:
            assert of_all[metric][r] == pytest.approx(alone[metric][0]), metric


def test_the_table_has_means_over_seeds_and_says_what_did_not_run():
    labels, _ = drawn()
    runs = [predictions("real", labels, drawn(seed=0, skill=s)[1], seed) for seed, s in enumerate((1, 2))]
    scored = score_arm(pd.concat(runs), {}, resamples=200)
    arms = {"real": scored, "real+sd": None}
    got = table(arms, {"real": 5}, 120).set_index("arm")
    accuracy = [(p[["p_benign", "p_malignant", "p_normal"]].to_numpy().argmax(axis=1) == labels).mean() for p in runs]
    assert got.loc["real", "accuracy"] == pytest.approx(np.mean(accuracy))
    assert got.loc["real", "accuracy_sd"] == pytest.approx(np.std(accuracy, ddof=1))
    assert got.loc["real", "accuracy_low"] < np.mean(accuracy) < got.loc["real", "accuracy_high"]
    assert got.loc["real+sd", "status"] == "not run"
    assert np.isnan(got.loc["real+sd", "accuracy"])
    classes = class_table(arms)
    assert set(classes["arm"]) == {"real"}
    row = classes[(classes["class"] == "malignant") & (classes["metric"] == "recall")].iloc[0]
    right = [(p["label"] == p.filter(like="p_").idxmax(axis=1).str[2:])[labels == 1].mean() for p in runs]
    assert row["value"] == pytest.approx(np.mean(right))
    assert row["low"] < row["value"] < row["high"]


@pytest.mark.parametrize(
    "names",
    [
        ("low", "high", "sd"),
        ("nan", "None", "NA"),
        ("1", "01", "1e5"),
        ("all", "True", "arm"),
        ("f1", "f1_low", "p_f1"),
    ],
    ids=str,
)
def test_what_a_class_is_called_changes_no_score(names):
    def tables(classes):
        labels, probabilities = drawn()
        parts = {"real": probabilities, "real+sd": drawn(skill=2)[1]}
        frame = pd.concat([predictions(arm, labels, p, classes=classes) for arm, p in parts.items()])
        scored = {arm: score_arm(part, {}, 200) for arm, part in frame.groupby("arm", sort=False)}
        return table(scored, dict.fromkeys(scored, 5), 120), class_table(scored), differences(frame, scored, "real")

    expected, got = tables(CLASSES), tables(names)
    renamed = dict(zip(CLASSES, names, strict=True))
    for one, other in zip(expected, got, strict=True):
        if "class" in one:
            one["class"] = one["class"].map(lambda name: renamed.get(name, name))
        pd.testing.assert_frame_equal(one, other)


def test_intervals_know_of_groups():
    labels, probabilities = drawn()
    alone = score_arm(predictions("real", labels, probabilities), {})
    twice = pd.concat([predictions("real", labels, probabilities), predictions("real", labels, probabilities)])
    twice["id"] = [f"{i:03d}" for i in range(240)]
    pairs = score_arm(twice, {f"{i:03d}": f"pair {i % 120}" for i in range(240)})
    widths = [np.ptp(found.interval(ACCURACY)) for found in (alone, pairs, score_arm(twice, {}))]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.85 * widths[1]

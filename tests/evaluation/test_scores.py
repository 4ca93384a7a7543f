import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score, roc_curve

from sonosynth.evaluation import mcnemar
from sonosynth.evaluation.contrasts import differences, smallest_visible, verdicts
from sonosynth.evaluation.scores import score, score_arm, table
from sonosynth.evaluation.significance import holm


def test_scores_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    got = {name: value[0] for name, value in score(labels, p).items()}
    # Called 0 0 1 1 0 0: class 0 2 of 4 right, class 1 1 of 2, class 2 never called.
    assert got["accuracy"] == pytest.approx(3 / 6)
    assert got["ppv"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert got["recall"] == got["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert [got[f"f1_{k}"] for k in range(3)] == pytest.approx([4 / 7, 1 / 2, 0])
    assert got["f1"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert got["brier"] == pytest.approx(((p - np.eye(3)[labels]) ** 2).sum() / 6)
    # Bins: 0.5 (wrong); 0.6, 0.6 (one right); 0.7 (wrong); 0.8, 0.8 (right).
    assert got["calibration_error"] == pytest.approx((0.5 + abs(1 - 1.2) + 0.7 + abs(2 - 1.6)) / 6)


def drawn(n=120, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    logits = rng.normal(0, 1, (n, 3)) + skill * np.eye(3)[labels]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, np.round(chances, 2) / np.round(chances, 2).sum(axis=1, keepdims=True)


def test_scores_are_scikit_learns_and_weights_are_repeated_images():
    labels, chances = drawn()
    weights = np.random.default_rng(1).integers(0, 3, (4, 120))
    got = score(labels, chances, weights)
    for r, row in enumerate(weights):
        y, p = np.repeat(labels, row), np.repeat(chances, row, axis=0)
        assert got["accuracy"][r] == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
        assert got["balanced_accuracy"][r] == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
        assert got["f1"][r] == pytest.approx(f1_score(y, p.argmax(axis=1), average="macro"))
        assert got["auc"][r] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in range(3)]))
        false, true, _ = roc_curve(y == 1, p[:, 1], drop_intermediate=False)
        assert got["recall_at_90_specificity_1"][r] == pytest.approx(true[false <= 0.1 + 1e-9].max())
        alone = score(y, p)
        for name in alone:
            assert got[name][r] == pytest.approx(alone[name][0]), name


def predictions(arm, labels, chances, seed=0, repeat=0):
    rows = pd.DataFrame({"arm": arm, "repeat": repeat, "seed": seed, "id": [f"{i:03d}" for i in range(len(labels))]})
    rows["label"] = [("benign", "malignant", "normal")[k] for k in labels]
    rows[["p_benign", "p_malignant", "p_normal"]] = chances
    return rows


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
    labels, chances = drawn()
    alone = score_arm(predictions("real", labels, chances), {})
    twice = pd.concat([predictions("real", labels, chances), predictions("real", labels, chances)])
    twice["id"] = [f"{i:03d}" for i in range(240)]
    pairs = score_arm(twice, {f"{i:03d}": f"pair {i % 120}" for i in range(240)})
    widths = [np.ptp(found.interval("accuracy")) for found in (alone, pairs, score_arm(twice, {}))]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.85 * widths[1]


def test_differences_are_those_of_the_tests():
    labels, chances = drawn()
    better = drawn(seed=0, skill=4)[1]
    frame = pd.concat([predictions("real", labels, chances), predictions("real+sd", labels, better)])
    same = predictions("copy", labels, chances)
    frame = pd.concat([frame, same])
    scored = {arm: score_arm(part, {}) for arm, part in frame.groupby("arm", sort=False)}
    got = differences(frame, scored, "real", None)
    mine = got[(got["arm"] == "real+sd") & (got["test"] == "mcnemar")].iloc[0]
    right, theirs = (x.argmax(axis=1) == labels for x in (better, chances))
    assert mine["p"] == pytest.approx(mcnemar(right, theirs))
    assert mine["p_holm"] == pytest.approx(holm([mine["p"], 1])[0])
    assert mine["difference"] == pytest.approx(right.mean() - theirs.mean())
    assert set(got[got["arm"] == "copy"]["p"]) == {1.0}
    said = {v.arm: v for v in verdicts(got, scored | {"lost": None}, "real", {})}
    assert said["real+sd"].finding == "improves"
    assert said["copy"].finding == "no evidence of a difference"
    assert said["lost"].finding == "not run"
    refused = verdicts(got, scored, "real", {"real+sd": "half of its images are copies"})[0]
    assert refused.finding == "refused" and "half of its images" in refused.sentence


@pytest.mark.parametrize(
    ("difference", "p_holm", "finding"),
    [(0.1, 0.09, "no evidence of a difference"), (0.1, 0.04, "improves"), (-0.1, 0.04, "harms")],
)
def test_a_verdict_goes_by_the_corrected_p(difference, p_holm, finding):
    row = {"arm": "x", "metric": "f1", "difference": difference, "low": -0.2, "high": 0.2, "p": 0.03, "p_holm": p_holm}
    scored = score_arm(predictions("x", *drawn(30)), {}, 10)
    found = verdicts(pd.DataFrame([row]), {"real": scored, "x": scored}, "real", {})
    assert [verdict.finding for verdict in found] == [finding]


def test_chance_rarely_improves():
    found = []
    for seed in range(60):
        labels, _ = drawn(80, seed)
        frame = pd.concat([
            predictions(arm, labels, drawn(80, seed)[1][np.random.default_rng(i).permutation(80)])
            for i, arm in enumerate(("real", "other"))
        ])  # fmt: skip
        scored = {arm: score_arm(part, {}, 400) for arm, part in frame.groupby("arm", sort=False)}
        found.append(verdicts(differences(frame, scored, "real", None), scored, "real", {})[0].finding)
    assert sum(x != "no evidence of a difference" for x in found) <= 8  # 3 are expected


def test_repeated_splits_are_compared_by_nadeau_bengio():
    parts = []
    for repeat in range(4):
        labels, chances = drawn(seed=repeat)
        parts += [
            predictions("real", labels, chances, 0, repeat),
            predictions("sd", labels, drawn(seed=repeat, skill=4)[1], 0, repeat),
        ]
    frame = pd.concat(parts)
    scored = {arm: score_arm(part, {}, 200) for arm, part in frame.groupby("arm", sort=False)}
    got = differences(frame, scored, "real", 0.25)
    assert set(got["test"]) == {"bootstrap", "nadeau-bengio"}
    assert verdicts(got, scored, "real", {})[0].finding == "improves"


def test_the_smallest_visible_difference():
    assert smallest_visible(157, 1) == 6  # 2 / 2^6 = 0.03125
    assert smallest_visible(157, 4) == 8
    assert smallest_visible(3, 1) == 3

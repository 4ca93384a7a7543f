import numpy as np
import pandas as pd
import pytest
from evidence_examples import CLASSES, drawn, predictions

from sonosynth.evidence.contrasts import COLUMNS, Folds, differences
from sonosynth.evidence.scores import ACCURACY, F1, score, score_arm
from sonosynth.evidence.tests import delong, holm, mcnemar, nadeau_bengio
from sonosynth.evidence.verdicts import Finding, verdicts


def scored(frame, resamples=200):
    return {arm: score_arm(part, {}, resamples) for arm, part in frame.groupby("arm", sort=False)}


def test_differences_are_those_of_the_tests():
    labels, probabilities = drawn()
    better = drawn(seed=0, skill=4)[1]
    arms = {"real": probabilities, "real+sd": better, "copy": probabilities}
    frame = pd.concat([predictions(arm, labels, p) for arm, p in arms.items()])
    found = scored(frame, 2000)
    got = differences(frame, found, "real")
    assert set(got["against"]) == {"real"}
    mine = got[(got["arm"] == "real+sd") & (got["test"] == "mcnemar")].iloc[0]
    right, theirs = (x.argmax(axis=1) == labels for x in (better, probabilities))
    assert mine["p"] == pytest.approx(mcnemar(right, theirs))
    assert mine["p_holm"] == pytest.approx(holm([mine["p"], 1])[0])
    assert mine["difference"] == pytest.approx(right.mean() - theirs.mean())
    for k, name in enumerate(CLASSES):
        row = got[(got["arm"] == "real+sd") & (got["metric"] == "auc") & (got["class"] == name)].iloc[0]
        first, second, _, p = delong(labels == k, better[:, k], probabilities[:, k])
        assert (row["test"], row["p"], row["difference"]) == ("delong", pytest.approx(p), pytest.approx(first - second))
    assert set(got[got["arm"] == "copy"]["p"]) == {1.0}
    said = {v.arm: v.finding for v in verdicts(got, found | {"lost": None}, "real", {})}
    assert said == {"real+sd": Finding.IMPROVES, "copy": Finding.NO_EVIDENCE, "lost": Finding.NOT_RUN}


def test_chance_rarely_improves():
    found = []
    for seed in range(60):
        labels, _ = drawn(80, seed)
        frame = pd.concat([
            predictions(arm, labels, drawn(80, seed)[1][np.random.default_rng(i).permutation(80)])
            for i, arm in enumerate(("real", "other"))
        ])  # fmt: skip
        arms = scored(frame, 400)
        found.append(verdicts(differences(frame, arms, "real"), arms, "real", {})[0].finding)
    assert sum(x != Finding.NO_EVIDENCE for x in found) <= 8  # 3 are expected


def test_repeated_splits_are_compared_by_nadeau_bengio():
    parts = []
    for repeat in range(4):
        labels, probabilities = drawn(seed=repeat)
        parts += [
            predictions("real", labels, probabilities, 0, repeat),
            predictions("sd", labels, drawn(seed=repeat, skill=4)[1], 0, repeat),
        ]
    frame = pd.concat(parts)
    arms = scored(frame)
    got = differences(frame, arms, "real", Folds(0.25, {n: n for n in range(4)}))
    assert set(got["test"]) == {"bootstrap", "nadeau-bengio"}
    assert verdicts(got, arms, "real", {})[0].finding == Finding.IMPROVES


def f1_and_accuracy(labels, probabilities):
    values = score(labels, probabilities, CLASSES)
    return np.array([values[F1][0], values[ACCURACY][0]])


def test_a_split_counts_once_however_many_generators_and_seeds_an_arm_has_on_it():
    # Three splits of two generators each, by number: 0 and 3 are of the first split, 1 and 4 of the second, 2 and 5 of
    # the third. The reference has no generator, so it was run for the first three alone, and with two seeds.
    blocks = {repeat: repeat % 3 for repeat in range(6)}
    parts, ours, theirs = [], np.zeros((6, 2)), np.zeros((3, 2, 2))
    for repeat, block in blocks.items():
        labels, _ = drawn(seed=block)
        probabilities = drawn(seed=block, skill=1.5 + 0.5 * (repeat > 2))[1]
        ours[repeat] = f1_and_accuracy(labels, probabilities)
        parts.append(predictions("sd", labels, probabilities, 0, repeat))
        for seed in range(2 if repeat < 3 else 0):
            probabilities = drawn(seed=block, skill=1 + 0.2 * seed)[1]
            theirs[block, seed] = f1_and_accuracy(labels, probabilities)
            parts.append(predictions("real", labels, probabilities, seed, repeat))
    frame = pd.concat(parts)
    got = differences(frame, scored(frame), "real", Folds(0.5, blocks))
    gaps = ours.reshape(2, 3, 2).mean(axis=0) - theirs.mean(axis=1)  # (splits, metrics)
    assert np.ptp(gaps, axis=0).min() > 0
    for metric, of_split in zip(("f1", "accuracy"), gaps.T, strict=True):
        row = got[(got["metric"] == metric) & (got["test"] == "nadeau-bengio")].iloc[0]
        assert (row["low"], row["high"], row["p"]) == pytest.approx(nadeau_bengio(of_split, 0.5))
        assert row["difference"] == pytest.approx(of_split.mean())
        assert row["low"] < row["difference"] < row["high"]
    # Another order of the rows is another order of nothing.
    shuffled = frame.sample(frac=1, random_state=0)
    again = differences(shuffled, scored(shuffled), "real", Folds(0.5, blocks))
    pd.testing.assert_frame_equal(
        *(found.sort_values(["class", "metric", "test"], ignore_index=True) for found in (again, got))
    )


def test_p_is_corrected_over_the_arms_by_metric_and_test():
    labels, _ = drawn()
    skills = {"real": 1, "a": 2, "b": 1.5, "c": 1.2}
    frame = pd.concat([predictions(arm, labels, drawn(skill=s)[1]) for arm, s in skills.items()])
    got = differences(frame, scored(frame), "real")
    for _, family in got.groupby(["class", "metric", "test"]):
        assert list(family["arm"]) == ["a", "b", "c"]
        assert list(family["p_holm"]) == pytest.approx(holm(family["p"].to_numpy()))


def test_without_other_arms_there_is_nothing_to_compare():
    frame = predictions("real", *drawn())
    got = differences(frame, scored(frame) | {"lost": None}, "real")
    assert (len(got), tuple(got)) == (0, COLUMNS)

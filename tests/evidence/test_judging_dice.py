"""Verdicts by Dice on simulated studies whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence import judge


def study(rng, gains=(0, 0, 0), scatter=0.03, draws=2, folds=5, count=100):
    """Dice of images with lesions: some are harder for all, two of a group alike, and every training has luck."""
    group = np.arange(count) // 2
    ease = 1.2 + rng.normal(0, 0.5, count // 2)[group] + rng.normal(0, 0.6, count)
    rows = []
    for draw in range(draws):
        fold_of = rng.permutation(np.arange(group.max() + 1) % folds)[group]
        for fold in range(folds):
            ids = np.flatnonzero(fold_of == fold)
            for arm, gain in zip(("real", "a", "b", "c"), (0, *gains), strict=True):
                shift = rng.normal(0, scatter) * 6 + rng.normal(0, 0.4, len(ids))
                missed = rng.random(len(ids)) < 0.05
                dice = np.where(missed, 0, 1 / (1 + np.exp(-(ease[ids] + shift + 6 * gain))))
                generator = "" if arm == "real" else str(draw * folds + fold)
                about = {"arm": arm, "draw": draw, "split": fold, "seed": 0, "generator": generator}
                label = np.where(ids % 3, "benign", "malignant")
                rows.append(pd.DataFrame({**about, "id": ids.astype(str), "label": label, "dice": dice}))
    return pd.concat(rows, ignore_index=True), {str(i): str(g) for i, g in enumerate(group)}


def found(predictions, groups, **more):
    return judge(predictions, groups=groups, score="dice", **more).set_index("arm")


@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_where_there_is_no_effect_few_studies_find_one(scatter):
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(120):
        wrong += found(*study(rng, scatter=scatter))["finding"].isin(["improves", "harms"]).any()
    assert wrong <= 10  # of 120; with a true rate of 0.05, 11 or more have a probability of 0.04


def test_a_gain_is_found_in_its_direction_and_its_size_is_that_of_the_means():
    predictions, groups = study(np.random.default_rng(2), gains=(0.15, -0.15, 0))
    verdicts = found(predictions, groups)
    assert list(verdicts["finding"]) == ["improves", "harms", "no evidence"]
    assert set(verdicts["metric"]) == {"dice"}
    means = predictions.groupby("arm")["dice"].mean()
    assert verdicts["difference"].to_dict() == pytest.approx({arm: means[arm] - means["real"] for arm in "abc"})


def test_labels_do_not_matter_to_a_mean_over_images():
    predictions, groups = study(np.random.default_rng(3))
    pd.testing.assert_frame_equal(found(predictions, groups), found(predictions.assign(label="lesion"), groups))


def test_two_questions_of_the_same_arms_share_the_error_rate():
    predictions, groups = study(np.random.default_rng(4), gains=(0.08, 0, 0))
    one, two = found(predictions, groups), found(predictions, groups, families=2)
    assert two["p_holm"].to_list() == pytest.approx(np.minimum(2 * one["p_holm"], 1).to_list())
    assert (two["high"] - two["low"] > one["high"] - one["low"]).all()
    assert (two["p"] == one["p"]).all()
    first = found(predictions, groups, primary="a", families=2)
    assert first.loc["a", "p_holm"] == pytest.approx(2 * first.loc["a", "p"])

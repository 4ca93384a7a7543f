"""Verdicts on simulated studies whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence import judge


def study(rng, draws=2, folds=5, gains=(0, 0, 0), scatter=0.4, seeds=1, count=150):
    """Predictions of an arm real and others, each with a generator of its own in every fold, and groups."""
    labels, groups = np.arange(count) % 3, np.arange(count) // 6
    common = 1.2 * np.eye(3)[labels] + rng.normal(0, 0.5, (count // 6 + 1, 3))[groups] + rng.normal(0, 0.5, (count, 3))
    rows = []
    for draw in range(draws):
        fold_of = rng.permutation(np.arange(groups.max() + 1) % folds)[groups]
        for fold in range(folds):
            ids = np.flatnonzero(fold_of == fold)
            for arm, gain in zip(("real", "a", "b", "c"), (0, *gains), strict=False):
                for seed in range(seeds):
                    logits = common[ids] + rng.normal(0, scatter, 3) + rng.normal(0, 0.5, (len(ids), 3))
                    p = np.exp(logits + gain * np.eye(3)[labels[ids]])
                    about = {"arm": arm, "draw": draw, "split": fold, "seed": seed}
                    about["generator"] = "" if arm == "real" else str(draw * folds + fold)
                    of = {f"p_{k}": p[:, k] / p.sum(axis=1) for k in range(3)}
                    rows.append(pd.DataFrame({**about, "id": ids.astype(str), "label": labels[ids].astype(str), **of}))
    return pd.concat(rows, ignore_index=True), {str(i): str(g) for i, g in enumerate(groups)}


def test_where_there_is_no_effect_few_studies_find_one():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(120):
        predictions, groups = study(rng)
        found += bool(judge(predictions, groups=groups)["finding"].isin(["improves", "harms"]).any())
    assert found <= 8  # of 120; with a true rate of 0.05, 10 or more have a probability of 0.09, 12 of 0.02


def test_a_large_effect_is_found_in_its_direction():
    predictions, groups = study(np.random.default_rng(2), gains=(2.5, -2.5, 0))
    found = judge(predictions, groups=groups).set_index("arm")
    assert list(found["finding"]) == ["improves", "harms", "no evidence"]
    assert (found["low"] <= found["difference"]).all() and (found["difference"] <= found["high"]).all()
    assert found.loc["a", "low"] > 0 > found.loc["b", "high"]
    assert (found["p_holm"] >= found["p"]).all()


def test_an_arm_improves_only_if_it_beats_all_that_it_is_compared_with():
    predictions, groups = study(np.random.default_rng(2), gains=(2.5, 2.5, 0))
    found = judge(predictions, groups=groups, against={"a": ["b"]}).set_index(["arm", "against"])
    assert list(found.loc["a"].index) == ["real", "b"]
    assert set(found.loc["a", "finding"]) == {"no evidence"}
    assert set(found.loc["b", "finding"]) == {"improves"}
    assert found.loc[("a", "real"), "difference"] - found.loc[("a", "b"), "difference"] == pytest.approx(
        found.loc[("b", "real"), "difference"]
    )


def test_without_the_primary_arm_no_other_is_found():
    predictions, groups = study(np.random.default_rng(2), gains=(2.5, 2.5, 0))
    none = judge(predictions, groups=groups, primary="c").set_index("arm")["finding"]
    assert set(none) == {"no evidence"}
    first = judge(predictions, groups=groups, primary="a").set_index("arm")
    assert list(first["finding"]) == ["improves", "improves", "no evidence"]
    assert first.loc["a", "p_holm"] == first.loc["a", "p"]


def test_a_primary_arm_with_too_few_runs_counts_as_none():
    predictions, groups = study(np.random.default_rng(2), draws=1, folds=1, gains=(2.5, 2.5, 0), seeds=5)
    few = predictions[(predictions["arm"] != "a") | (predictions["seed"] < 4)].assign(generator="")
    found = judge(few, groups=groups, primary="a").set_index("arm")
    assert found.loc["a", "finding"] == "not enough runs"
    others = judge(few, groups=groups).set_index("arm")
    assert found.equals(others) and others.loc["b", "p_holm"] > others.loc["b", "p"]


@pytest.mark.parametrize(
    ("design", "enough"),
    [((1, 5), True), ((2, 3), True), ((3, 2), False), ((1, 3), False), ((2, 1), False), ((2, 5), True)],
)
def test_too_few_blocks_say_nothing(design, enough):
    predictions, groups = study(np.random.default_rng(3), *design, gains=(4, 4, 4))
    found = set(judge(predictions, groups=groups)["finding"])
    assert ("not enough runs" not in found) == enough
    assert enough or found == {"not enough runs"}


@pytest.mark.parametrize(("seeds", "enough"), [(4, False), (5, True)])
def test_one_split_needs_five_runs_and_a_constant_generator_does_not_count(seeds, enough):
    predictions, groups = study(np.random.default_rng(4), 1, 1, gains=(4, 4, 4), seeds=seeds)
    predictions["generator"] = "0"
    assert set(judge(predictions, groups=groups)["finding"]) == ({"improves"} if enough else {"not enough runs"})


def test_equal_arms_differ_by_nothing_and_a_wide_margin_rules_an_effect_out():
    predictions, groups = study(np.random.default_rng(5), gains=(0,))
    same = predictions[predictions["arm"] == "real"]
    both = pd.concat([same, same.assign(arm="a")], ignore_index=True)
    found = judge(both, groups=groups)
    assert (found["difference"][0], found["p"][0], found["finding"][0]) == (0, 1, "no evidence")
    assert judge(predictions, groups=groups, margin=0.5)["finding"][0] == "no relevant difference"
    wider = judge(predictions, groups=groups, transfer=0.1)
    assert wider["high"][0] - wider["low"][0] > 2 * 0.1 * 1.96


def test_a_draw_that_lacks_a_block_is_left_out_for_all_arms():
    predictions, groups = study(np.random.default_rng(6), draws=2)
    gone = (predictions["arm"] == "b") & (predictions["draw"] == 1) & (predictions["split"] == 3)
    without = predictions[predictions["draw"] == 0]
    pd.testing.assert_frame_equal(judge(predictions[~gone], groups=groups), judge(without, groups=groups))
    with pytest.raises(ValueError, match="no draw has predictions"):
        judge(without[~gone[without.index] | (without["split"] != 3)].query("not (arm == 'a' and split == 0)"))
    with pytest.raises(ValueError, match="no predictions of x"):
        judge(predictions, primary="x")


def test_an_arm_may_have_more_seeds_than_another():
    predictions, groups = study(np.random.default_rng(7), seeds=2)
    fewer = predictions[(predictions["arm"] == "real") | (predictions["seed"] == 0)]
    assert len(judge(fewer, groups=groups)) == 3
    shuffled = fewer.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        judge(shuffled, groups=groups).sort_values("arm", ignore_index=True),
        judge(fewer, groups=groups).sort_values("arm", ignore_index=True),
    )


def test_that_no_difference_is_relevant_is_corrected_for_the_number_of_arms():
    predictions, groups = study(np.random.default_rng(6), draws=5, gains=(0.0,), seeds=2)
    alone = [
        m for m in np.arange(0.005, 0.2, 0.001) if "no rel" in judge(predictions, groups=groups, margin=m).finding[0]
    ]
    arms = [predictions[predictions["arm"] == "a"].assign(arm=name) for name in "bcd"]
    several = pd.concat([predictions, *arms])
    assert set(judge(several, groups=groups, margin=alone[0])["finding"]) == {"no evidence"}
    assert set(judge(several, groups=groups, margin=2 * alone[0])["finding"]) == {"no relevant difference"}

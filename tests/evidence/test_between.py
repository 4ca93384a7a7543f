"""Differences between two runs on the same images."""

import numpy as np
import pandas as pd
import pytest
from evidence_examples import drawn, predictions

from sonosynth.evidence import judge
from sonosynth.evidence.between import Contrast, common_draws, contrasts, outcomes
from sonosynth.evidence.contrasts import Tested as Found

FOLDS = np.arange(120) % 6


def run(*arms, seed=0):
    """A run of six folds with arms of some skill; the images are the same, whatever the seed."""
    labels, _ = drawn()
    rows = []
    for n, (arm, skill) in enumerate(arms):
        rng = np.random.default_rng([seed, n])
        logits = rng.normal(0, 1, (120, 3)) + skill * np.eye(3)[labels]
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows.append(predictions(arm, labels, shares, folds=FOLDS))
    return pd.concat(rows, ignore_index=True)


def test_the_difference_between_runs_is_tested_as_that_between_arms_of_one():
    first, second = run(("real", 1.0)), run(("real", 2.0), seed=1)
    (found,) = contrasts(first, second, ["real"], {})
    both = pd.concat([first, second.assign(arm="other")])
    expected = judge(both).iloc[0]
    assert (found.tested.value, found.tested.p) == pytest.approx((expected["difference"], expected["p"]))
    (row,) = outcomes([found]).to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx((expected["low"], expected["high"]))
    assert row["p"] < 0.05 and row["finding"] == "higher" and expected["finding"] == "improves"


def test_groups_of_images_count_as_one():
    first, second = run(("real", 1.0)), run(("real", 1.5), seed=1)
    alone = contrasts(first, second, ["real"], {})[0].tested.error
    groups = {f"{i:03d}": str(FOLDS[i]) + str(i // 60) for i in range(120)}
    assert contrasts(first, second, ["real"], groups)[0].tested.error != alone


def test_arms_with_the_same_predictions_are_no_tests():
    first = run(("real", 1.0), ("set", 1.0))
    second = pd.concat([first[first["arm"] == "real"], run(("set", 1.6), seed=2)])[::-1]
    same, other = contrasts(first, second, ["real", "set"], {})
    assert same.tested is None
    (alone,) = contrasts(first, second, ["set"], {})
    assert other.tested == alone.tested  # the arm that is the same lends no scatter
    rows = outcomes([same, other]).set_index("arm")
    assert rows.loc["real", "finding"] == "identical predictions" and pd.isna(rows.loc["real", "p"])
    assert rows.loc["set", "p"] == rows.loc["set", "p_holm"]


def test_only_draws_with_the_same_folds_are_compared():
    first = run(("real", 1.0))
    moved = first.assign(draw=1, split=(first["split"] + (first["id"] == "003")) % 6)
    second = run(("real", 1.6), seed=1)
    assert common_draws(pd.concat([first, moved]), pd.concat([second, second.assign(draw=1)])) == [0]
    (found,) = contrasts(pd.concat([first, moved]), second, ["real"], {})
    assert found.tested == contrasts(first, second, ["real"], {})[0].tested
    assert common_draws(first, second[second["id"] != "003"]) == []
    with pytest.raises(ValueError, match="no draw of folds in common"):
        contrasts(first, moved.assign(draw=0), ["real"], {})


def test_all_that_are_compared_are_one_family():
    found = [Contrast(name, Found(x, 0.01, 30.0), enough) for name, x, enough in
             [("a", 0.022, True), ("b", -0.08, True), ("c", 0.09, False), ("d", 0.0, True)]]  # fmt: skip
    rows = outcomes(found).set_index("arm")
    assert list(rows["finding"]) == ["no evidence", "lower", "not enough runs", "no evidence"]
    assert found[0].tested.p < 0.05 < rows.loc["a", "p_holm"] == pytest.approx(2 * found[0].tested.p)
    half = found[0].tested.reach(0.025 / 4)
    assert (rows.loc["a", "low"], rows.loc["a", "high"]) == pytest.approx((0.022 - half, 0.022 + half))


def test_two_folds_are_not_enough():
    first, second = (x.assign(split=x["split"] % 2) for x in (run(("real", 0.0)), run(("real", 4.0), seed=1)))
    assert list(outcomes(contrasts(first, second, ["real"], {}))["finding"]) == ["not enough runs"]

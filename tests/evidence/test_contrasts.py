"""The variance of a score against closed forms."""

from itertools import product

import numpy as np
import pytest
from evidence_examples import predictions
from scipy import stats

from sonosynth.evidence import contrasts
from sonosynth.evidence.blocks import arranged, scored
from sonosynth.evidence.contrasts import estimate, satterthwaite


def mean_of(outcome, sizes):
    """The estimate of the mean of `outcome` (n,), images of one class in groups of some sizes."""
    table = predictions("real", np.zeros(len(outcome), int), np.tile([0.6, 0.2, 0.2], (len(outcome), 1)))
    groups = {name: str(group) for name, group in zip(table["id"], np.repeat(range(len(sizes)), sizes), strict=True)}
    design = arranged(table, groups)
    mean = outcome.mean()
    return estimate(design, scored(design, "real", lambda rows: (mean, (outcome - mean) / len(outcome))))


def test_the_variance_has_no_bias_if_images_are_independent_in_groups_of_unequal_sizes():
    """p (1 - p) / n on average over all 64 equally likely outcomes; the sum of squares alone has 0.61 of it."""
    outcomes = [np.array(outcome, float) for outcome in product((0, 1), repeat=6)]
    variances = [mean_of(outcome, (1, 2, 3)).images for outcome in outcomes]
    assert np.mean(variances) == pytest.approx(0.25 / 6)


def test_groups_that_have_no_part_in_a_score_add_few_degrees_of_freedom():
    """Two of twenty squares are a, the others 0: 2 (2a)^2 / (2a^2 - (2a)^2 / 20)."""
    outcome = np.full(20, 0.5)
    outcome[[3, 8]] = 0, 1
    assert mean_of(outcome, [1] * 20).of_groups == pytest.approx(8 / 1.8)


def test_degrees_of_freedom_are_fewer_than_groups():
    assert mean_of(np.array([0.0, 1, 0, 1, 0, 1]), (2, 2, 2)).of_groups == 2
    assert mean_of(np.array([0.0, 1, 0, 1]), [1] * 4).of_groups == 3


def test_degrees_of_freedom_of_a_sum_are_those_of_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 3, 5), rng.normal(0, 1, 12)
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert satterthwaite([(a.var(ddof=1) / 5, 4), (b.var(ddof=1) / 12, 11)]) == pytest.approx(welch.df)
    assert satterthwaite([(0.5, 4), (0.5, 4), (1.0, 0)]) == pytest.approx(8)
    assert satterthwaite([(0.0, 4), (0.0, 3)]) == 3 and satterthwaite([]) == 0


def test_a_difference_is_beyond_a_margin_by_the_nearer_of_two_one_sided_tests():
    sample = np.random.default_rng(1).normal(0.3, 1, 25)
    tested = contrasts.Tested(float(sample.mean()), float(stats.sem(sample)), 24)
    nearer = max(
        stats.ttest_1samp(sample, -0.5, alternative="greater").pvalue,
        stats.ttest_1samp(sample, 0.5, alternative="less").pvalue,
    )
    assert tested.p_beyond(0.5) == pytest.approx(nearer)
    assert contrasts.Tested(0.0, float("nan"), 1.0).p_beyond(0.5) == 1


def test_the_scatter_between_folds_has_no_bias_however_unequal_they_are():
    """Folds as of hospitals, each with an effect of -1 or 1: the mean over all outcomes is the sum of w^2; J / (J - 1)
    times the squares have 0.38 of it."""
    sizes = np.array([12, 2, 2, 2, 2])
    folds, shares = np.repeat(range(5), sizes), sizes / sizes.sum()
    table = predictions("real", np.zeros(20, int), np.tile([0.6, 0.2, 0.2], (20, 1)), folds=folds)
    design = arranged(table, {})
    found = []
    for effects in product((-1.0, 1.0), repeat=5):
        of_image = np.array(effects)[folds]
        mean = of_image.mean()
        score = scored(design, "real", lambda rows, x=of_image, m=mean: (m, (x - m) / len(x)))
        found.append(estimate(design, score).between)
    assert np.mean(found) == pytest.approx((shares**2).sum())

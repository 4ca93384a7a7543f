"""The variance of a score against closed forms."""

from itertools import product

import numpy as np
import pytest
from evidence_examples import predictions

from sonosynth.evidence.blocks import arranged, scored
from sonosynth.evidence.contrasts import estimate


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

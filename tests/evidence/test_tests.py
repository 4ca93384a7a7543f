import numpy as np
import pytest
from scipy import stats

from sonosynth.evidence.tests import delong, holm, mcnemar, wilson


def test_wilson_interval_of_the_papers_accuracy():
    low, high = wilson(142, 157)
    assert (round(low, 3), round(high, 3)) == (0.848, 0.941)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == 1
    with pytest.raises(ValueError):
        wilson(3, 2)


@pytest.mark.parametrize(("only_a", "only_b", "p"), [(6, 0, 0.03125), (8, 0, 0.0078125), (5, 3, 0.7265625), (0, 0, 1)])
def test_exact_mcnemar(only_a, only_b, p):
    a = np.array([1] * only_a + [0] * only_b + [1, 0] * 20, bool)
    b = np.array([0] * only_a + [1] * only_b + [1, 0] * 20, bool)
    assert mcnemar(a, b) == pytest.approx(p)
    assert mcnemar(b, a) == pytest.approx(p)


def test_mcnemar_needs_the_same_images():
    with pytest.raises(ValueError, match="the same images"):
        mcnemar([True], [True, False])


def by_pairs(labels, scores):
    """AUC and the placements of the images, from every pair: the definition in DeLong et al."""
    psi = (scores[labels][:, None] > scores[~labels][None]) + 0.5 * (scores[labels][:, None] == scores[~labels][None])
    return psi.mean(), psi.mean(axis=1), psi.mean(axis=0)


def test_delong_from_every_pair():
    rng = np.random.default_rng(0)
    labels = rng.random(60) < 0.4
    a, b = (np.round(labels + rng.normal(0, s, 60), 1) for s in (0.8, 1.5))  # rounded: with ties
    (auc_a, up_a, down_a), (auc_b, up_b, down_b) = by_pairs(labels, a), by_pairs(labels, b)
    variance = np.var(up_a - up_b, ddof=1) / labels.sum() + np.var(down_a - down_b, ddof=1) / (~labels).sum()
    z = (auc_a - auc_b) / np.sqrt(variance)
    assert delong(labels, a, b) == pytest.approx((auc_a, auc_b, z, 2 * stats.norm.cdf(-abs(z))))
    assert delong(labels, b, a)[2] == pytest.approx(-z)
    assert delong(labels, a, 3 * a + 1)[2:] == (0, 1)
    with pytest.raises(ValueError, match="2 of each"):
        delong([True, False, False], [1, 2, 3], [1, 2, 3])


def test_delong_keeps_its_level():
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 2 == 0
    p = [delong(labels, *(labels + rng.normal(0, 1.5, (2, 80))))[3] for _ in range(1000)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.08


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert len(holm([])) == 0

"""ROC and calibration curves agree with scikit-learn, and their intervals with simulated truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from sonosynth.evidence import bands
from sonosynth.evidence.tests import wilson


def cases(rng, n=120, shift=1.0):
    truth = np.arange(n) % 3 == 0
    return truth, rng.normal(truth * shift, 1)


def test_the_curve_is_that_of_scikit_learn_with_ties_too():
    truth, scores = cases(np.random.default_rng(0))
    scores = scores.round(1)
    found = bands.roc(truth[:, None], scores[:, None], np.arange(len(truth)))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.sensitivity == pytest.approx(np.interp(bands.RATES, false, true))
    assert (found.low <= found.sensitivity).all() and (found.sensitivity <= found.high).all()


def test_over_classes_it_is_their_mean():
    rng = np.random.default_rng(1)
    (a, x), (b, y) = cases(rng), cases(rng)
    alone = [bands.roc(t[:, None], s[:, None], np.arange(120)).sensitivity for t, s in ((a, x), (b, y))]
    both = bands.roc(np.column_stack([a, b]), np.column_stack([x, y]), np.arange(120)).sensitivity
    assert both == pytest.approx(np.mean(alone, axis=0))


def test_intervals_are_as_wide_as_the_curve_scatters_only_if_they_know_the_groups():
    """Five images of each patient share what makes them easy or hard: as single images they seem to tell more."""
    at, rng, found = 10, np.random.default_rng(5), []
    truth, patients = np.repeat(np.arange(100) % 2 == 0, 5), np.arange(500) // 5
    for _ in range(60):
        scores = truth + np.repeat(rng.normal(0, 1, 100), 5) + rng.normal(0, 1, 500)
        ours, naive = (bands.roc(truth[:, None], scores[:, None], groups) for groups in (patients, np.arange(500)))
        found.append((ours.sensitivity[at], ours.high[at] - ours.low[at], naive.high[at] - naive.low[at]))
    values, ours, naive = np.transpose(found)
    exact = stats.norm.sf(stats.norm.isf(bands.RATES[at], 0, np.sqrt(2)), 1, np.sqrt(2))
    assert values.mean() == pytest.approx(exact, abs=0.03)
    width = 2 * stats.norm.ppf(0.975) * values.std()
    assert ours.mean() == pytest.approx(width, rel=0.2) and naive.mean() < 0.75 * width


def test_calibration_is_that_of_scikit_learn_with_intervals_by_groups():
    rng = np.random.default_rng(3)
    p = rng.random(200)
    truth = rng.random(200) < p
    found = bands.calibration(truth[:, None], p[:, None], np.arange(200))
    observed, predicted = calibration_curve(truth, p, n_bins=bands.BINS)
    assert found["observed"].to_numpy() == pytest.approx(observed)
    assert found["predicted"].to_numpy() == pytest.approx(predicted)
    first = found.iloc[0]
    assert (first["low"], first["high"]) == wilson(round(first["observed"] * first["images"]), first["images"])
    wide = bands.calibration(truth[:, None], p[:, None], np.arange(200) // 4)
    assert (wide["high"] - wide["low"] > found["high"] - found["low"]).all()


def test_an_image_without_a_group_is_its_own():
    assert list(bands.codes(pd.Series(["a", "b", "c", "d"]), {"a": "x", "c": "x", "d": ""})) == [0, 1, 0, 2]

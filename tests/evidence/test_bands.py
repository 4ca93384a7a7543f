"""ROC and calibration curves agree with scikit-learn, and their intervals with simulated truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from sonosynth.evidence import bands
from sonosynth.evidence.tests import wilson


def alone(groups):
    """One training."""
    return np.zeros(len(groups), int)


def cases(rng, n=120, shift=1.0):
    truth = np.arange(n) % 3 == 0
    return truth, rng.normal(truth * shift, 1)


def test_the_curve_is_that_of_scikit_learn_with_ties_too():
    truth, scores = cases(np.random.default_rng(0))
    scores = scores.round(1)
    found = bands.roc(truth[:, None], scores[:, None], np.arange(len(truth)), alone(truth))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.sensitivity == pytest.approx(np.interp(bands.RATES, false, true))
    assert (found.low <= found.sensitivity).all() and (found.sensitivity <= found.high).all()


def test_over_classes_it_is_their_mean():
    rng = np.random.default_rng(1)
    (a, x), (b, y) = cases(rng), cases(rng)
    one = alone(a)
    each = [bands.roc(t[:, None], s[:, None], np.arange(120), one).sensitivity for t, s in ((a, x), (b, y))]
    both = bands.roc(np.column_stack([a, b]), np.column_stack([x, y]), np.arange(120), one).sensitivity
    assert both == pytest.approx(np.mean(each, axis=0))


def test_intervals_are_as_wide_as_the_curve_scatters_only_if_they_know_the_groups():
    """Five images of each patient share what makes them easy or hard: as single images they seem to tell more."""
    at, rng, found = 10, np.random.default_rng(5), []
    truth, patients = np.repeat(np.arange(100) % 2 == 0, 5), np.arange(500) // 5
    for _ in range(60):
        scores = truth + np.repeat(rng.normal(0, 1, 100), 5) + rng.normal(0, 1, 500)
        ours, naive = (
            bands.roc(truth[:, None], scores[:, None], groups, alone(truth)) for groups in (patients, np.arange(500))
        )
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
    found = bands.calibration(truth[:, None], p[:, None], np.arange(200), alone(p))
    observed, predicted = calibration_curve(truth, p, n_bins=bands.BINS)
    assert found["observed"].to_numpy() == pytest.approx(observed)
    assert found["predicted"].to_numpy() == pytest.approx(predicted)
    first = found.iloc[0]
    assert (first["low"], first["high"]) == wilson(round(first["observed"] * first["images"]), first["images"])
    wide = bands.calibration(truth[:, None], p[:, None], np.arange(200) // 4, alone(p))
    assert (wide["high"] - wide["low"] > found["high"] - found["low"]).all()


def trained(rng, runs, *, folds=1, n=200, common=1.0, own=1.0):
    """Truth, scores, images and trainings of a study: what makes an image hard is `common` to all runs, or its `own`.

    Each training shifts all its scores of true images, too.
    """
    truth, easy = np.arange(n) % 2 == 0, rng.normal(0, common, n)
    run = np.repeat(np.arange(runs), n)
    training = run * folds + np.tile(rng.permutation(n) % folds, runs)
    skill = rng.normal(1, 0.4, runs * folds)[training]
    scores = np.tile(truth, runs) * skill + np.tile(easy, runs) + rng.normal(0, own, n * runs)
    return np.tile(truth, runs)[:, None], scores[:, None], np.tile(np.arange(n), runs), training


@pytest.mark.parametrize(("runs", "folds"), [(3, 1), (2, 4)])
def test_the_area_is_the_mean_auc_of_all_trainings(runs, folds):
    truth, scores, images, training = trained(np.random.default_rng(1), runs, folds=folds, n=800)
    found = bands.roc(truth, scores, images, training)
    each = [roc_auc_score(truth[training == i, 0], scores[training == i, 0]) for i in range(runs * folds)]
    assert np.trapezoid(found.sensitivity, bands.RATES) == pytest.approx(np.mean(each), abs=0.003)


def test_more_runs_make_no_better_curve(monkeypatch):
    """Averaged scores would: their noise cancels."""
    monkeypatch.setattr(bands, "RESAMPLES", 1)
    at, rng, found, naive = 10, np.random.default_rng(2), {1: [], 8: []}, []
    for _ in range(200):
        for runs, curves in found.items():
            truth, scores, images, training = trained(rng, runs)
            curves.append(bands.roc(truth, scores, images, training).sensitivity[at])
        means = scores.reshape(8, -1).mean(axis=0)[:, None]
        naive.append(bands.roc(truth[:200], means, np.arange(200), alone(means)).sensitivity[at])
    assert np.mean(found[8]) == pytest.approx(np.mean(found[1]), abs=0.03)
    assert np.mean(naive) > np.mean(found[8]) + 0.08


@pytest.mark.parametrize(("runs", "folds", "most"), [(3, 1, 1.5), (1, 5, 1.8)])
def test_intervals_hold_what_another_study_would_find(runs, folds, most):
    """At least as wide as the scatter between studies with other images and trainings, and not absurdly wider."""
    at, rng, found = 10, np.random.default_rng(3), []
    for _ in range(80):
        curve = bands.roc(*trained(rng, runs, folds=folds))
        found.append((curve.sensitivity[at], curve.high[at] - curve.low[at]))
    values, widths = np.transpose(found)
    assert 0.9 < widths.mean() / (2 * stats.norm.ppf(0.975) * values.std()) < most


def test_calibration_of_several_runs_is_as_sure_as_that_of_one():
    rng = np.random.default_rng(4)
    p = rng.random(200)
    truth = rng.random(200) < p
    one = bands.calibration(truth[:, None], p[:, None], np.arange(200), alone(p))
    images, runs = np.tile(np.arange(200), 3), np.repeat(np.arange(3), 200)
    three = bands.calibration(np.tile(truth, 3)[:, None], np.tile(p, 3)[:, None], images, runs)
    pd.testing.assert_frame_equal(one, three, check_dtype=False)


def test_calibration_does_not_gain_from_runs_whose_errors_cancel():
    """Each run is overconfident; the mean of their probabilities would not be."""
    rng = np.random.default_rng(6)
    truth = rng.random(4000) < 0.5
    p = rng.choice([0.1, 0.9], (4, 4000))
    images, runs = np.tile(np.arange(4000), 4), np.repeat(np.arange(4), 4000)
    found = bands.calibration(np.tile(truth, 4)[:, None], p.reshape(-1, 1), images, runs)
    assert found["predicted"].to_list() == pytest.approx([0.1, 0.9])
    assert found["observed"].to_list() == pytest.approx([0.5, 0.5], abs=0.03)


def test_an_image_without_a_group_is_its_own():
    assert list(bands.codes(pd.Series(["a", "b", "c", "d"]), {"a": "x", "c": "x", "d": ""})) == [0, 1, 0, 2]

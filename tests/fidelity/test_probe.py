import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from sonosynth.fidelity import probe
from sonosynth.fidelity.comparison import Images, Sides

DRAWS = probe.DRAWS  # as it is, before conftest.py changes it


@pytest.fixture(autouse=True)
def _all_draws(monkeypatch):
    monkeypatch.setattr(probe, "DRAWS", DRAWS)


def images(x, labels="", groups=None):
    groups = np.arange(len(x)) if groups is None else groups
    return Images({"x": x}, np.broadcast_to(labels, len(x)), np.asarray(groups).astype(str))


def test_the_auc_is_that_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    real, other = (images(rng.normal(mean, 1, (400, 1))) for mean in (0, 1.2))
    assert probe.auc(real, other) == pytest.approx(norm.cdf(1.2 / np.sqrt(2)), abs=0.04)


def test_images_of_one_kind_are_told_apart_by_chance_even_with_many_features():
    rng = np.random.default_rng(0)
    found = [probe.auc(*(images(x) for x in rng.normal(size=(2, 40, 120)))) for _ in range(12)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_what_was_made_from_a_real_image_is_never_judged_by_it():
    # Every other image equals a real one, so nothing tells them apart; a fold that parts the two would prefer the
    # wrong answer.
    x = np.random.default_rng(0).normal(size=(60, 40))
    assert probe.auc(images(x), images(x)) == 0.5
    apart = images(x, groups=np.arange(60) + 1000)
    assert probe.auc(images(x), apart) != 0.5


def test_the_class_says_nothing_about_the_source():
    rng = np.random.default_rng(0)

    def real(**counts):
        x = [rng.normal(place, 1, (n, 3)) for place, n in zip((0, 8), counts.values(), strict=True)]
        return images(np.concatenate(x), np.repeat(list(counts), list(counts.values())))

    sides = Sides(real(a=300, b=60), real(a=20, b=200), real(a=60, b=30))
    row = probe.compare(sides, rng)
    assert row["value"] == pytest.approx(0.5, abs=0.15)
    assert (row["n_real"], row["n_synthetic"], row["n_matched"], row["classes"]) == (80, 80, 50, ("a", "b"))
    assert row["low"] < row["value"] < row["high"]
    assert row["matched"] == pytest.approx(row["floor"], abs=0.2)


def test_fewer_groups_than_folds_have_no_auc():
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert np.isnan(probe.auc(images(x), images(x, groups=np.arange(20) % 4)))
    row = probe.compare(Sides(images(x), images(x[:3]), images(x)), np.random.default_rng(0))
    assert np.isnan([row[name] for name in ("value", "low", "high", "matched")]).all()


def test_missing_values_and_values_that_never_change_are_allowed():
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[::3, 0], x[:, 1] = np.nan, np.nan
    x[:, 2] = 1
    assert 0 <= probe.auc(images(x[:20]), images(x[20:])) <= 1


@pytest.mark.parametrize(("shift", "m", "n"), [(0.0, 20, 20), (1.2, 15, 40), (2.5, 30, 30)])
def test_the_interval_holds_the_truth_in_nineteen_of_twenty_samples(shift, m, n):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [m, n])
    truth, held = norm.cdf(shift / np.sqrt(2)), []
    for _ in range(400):
        low, high = probe.interval(roc_auc_score(labels, rng.normal(shift * labels, 1)), m, n)
        held.append(low <= truth <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_an_auc_of_1_has_an_interval():
    low, high = probe.interval(1.0, 20, 20)
    assert 0.8 < low < 0.99 and high == 1
    assert probe.interval(0.0, 20, 20) == pytest.approx((0, 1 - low))

"""Curves over share and strength are found by the values of arms and sets, never by their names."""

import pytest

from sonosynth.comparisons import comparisons
from sonosynth.curves import curves
from sonosynth.report.facts import Curve
from sonosynth.settings import load

SETS = (
    "sets={a: {from: real, strength: 0.2, count: 9}, b: {from: real, strength: 0.6, count: 9},"
    " c: {from: real, count: 9, refine: {strength: 0.4}}, few: {from: real, strength: 0.5, count: 5},"
    " several: {from: real, strength: [0.2, 0.5], count: 9}, new: {from: noise, count: 9}}"
)
KIND = "augmentation: classical, balance: oversample"


def found(*arms):
    settings = load("paper", (), (SETS, "adapters={sd: null, sd+ti: null}", *(f"arms.{arm}" for arm in arms)))
    return curves(settings, comparisons(settings))


def by_share(kind, *shares, sets="a"):
    return [f"{sets} {100 * share:g}={{{kind}, sets: [{sets}], share: {share}}}" for share in shares]


CHEAP = "real+classical+oversampling"


def test_arms_that_differ_in_share_alone_make_a_curve_with_the_arm_without_sets_at_0():
    arms = by_share(KIND, 0.5, 0.25)
    assert found(*arms) == (Curve("share", CHEAP, ((0, CHEAP), (0.25, "a 25"), (0.5, "a 50"))),)
    assert found(*arms[:1]) == ()
    assert found(arms[0], "other={mixup: 0.1, sets: [a], share: 0.25}") == ()  # differs in more
    assert found(arms[0], "other={sets: [b], share: 0.25, augmentation: classical, balance: oversample}") == ()
    seeds = f"other={{{KIND}, sets: [a], share: 0.25, seeds: [9]}}"
    assert found(arms[0], seeds)[0].points == ((0, CHEAP), (0.25, "other"), (0.5, "a 50"))


def test_without_the_same_arm_without_sets_a_curve_has_no_0():
    kind = "mixup: 0.7"
    assert found(*by_share(kind, 0.5, 0.25)) == ()
    (curve,) = found(*by_share(kind, 0.5, 0.25, 0.1))
    assert curve.without is None and [value for value, _ in curve.points] == [0.1, 0.25, 0.5]


def test_arms_whose_one_set_differs_in_strength_alone_make_a_curve():
    def arms(*sets):
        return [f"x{name}={{{KIND}, sets: [{name}], share: 0.25}}" for name in sets]

    assert found(*arms("a", "b", "c")) == (Curve("strength", CHEAP, ((0.2, "xa"), (0.4, "xc"), (0.6, "xb"))),)
    for other in ("few", "several", "new"):  # another count, several strengths, none
        assert found(*arms("a", "b", other)) == ()
    assert found(*arms("a", "b"), f"xc={{{KIND}, sets: [c], share: 0.5}}") == ()


def test_one_arm_may_be_on_two_curves_and_an_arm_that_chooses_is_on_none():
    arms = [f"x{name}={{{KIND}, sets: [{name}], share: 0.25}}" for name in "abc"]
    both = found(*arms, f"half={{{KIND}, sets: [a], share: 0.5}}", "best={best_of: [xa, xb, half]}")
    assert [curve.variable for curve in both] == ["share", "strength"]
    assert "best" not in {arm for curve in both for _, arm in curve.points}


def test_controls_are_compared_with_real_images_alone_and_shown_by_their_scores():
    settings = load("paper", (), (SETS, *(f"sets.{name}.negative_control=true" for name in "abc"),
        *(f"arms.x{name}={{{KIND}, sets: [{name}], share: 0.25}}" for name in "abc")))  # fmt: skip
    (curve,) = curves(settings, comparisons(settings))
    assert curve.without is None


@pytest.mark.parametrize("preset", ["quick", "paper", "sound", "demo"])
def test_presets_have_none(preset):
    settings = load(preset)
    assert curves(settings, comparisons(settings)) == ()

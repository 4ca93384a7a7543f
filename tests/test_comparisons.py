"""What arms are compared with is found by their values, never by their names."""

import pytest

from sonosynth.comparisons import comparisons, refusals
from sonosynth.errors import UserError
from sonosynth.report.facts import Fault
from sonosynth.settings import load

RENAMED = (
    "arms.other={augmentation: classical, balance: oversample, sets: [sd], seeds: [7]}",
    "arms.plain={mixup: 0.5}",
    "arms.lonely={mixup: 0.7, sets: [sd]}",
    "arms.both={mixup: 0.5, sets: [sd, sd+ti]}",
)


def test_an_arm_is_compared_with_itself_without_its_sets_and_with_the_cheap_comparator():
    found = comparisons(load("paper", (), RENAMED))
    cheap = "real+classical+oversampling"
    assert found["other"].against("real") == [cheap]  # without its set it is the simple baseline itself
    assert found["both"].against("real") == ["plain", cheap]
    assert found["lonely"].without is None and found["lonely"].against("real") == [cheap]
    assert found["real+sd"].without == "real" and found["real+sd"].against("real") == [cheap]
    assert found["plain"].control and found["plain"].against("real") == []


def test_a_cheap_comparator_may_be_another_arm_or_none():
    assert comparisons(load("paper", (), (*RENAMED, "compare.cheap=plain")))["real+sd"].cheap == "plain"
    for given in ("compare.cheap=null", "arms.real+classical+oversampling=null"):
        assert comparisons(load("paper", (), (given,)))["real+sd"].against("real") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("compare.cheap=nothing", "compare.cheap: there is no arm nothing"),
        ("compare.cheap=real+sd", "compare.cheap: real\\+sd adds synthetic images"),
        ("compare.primary=nothing", "compare.primary: there is no arm nothing"),
        ("compare.primary=real", "compare.primary: there is no arm real to compare"),
        ("compare.margin=0", "compare.margin: must be more than 0"),
        ("arms.real={mixup: 0.1}", "takes no settings but seeds"),
        ("arms.real={seeds: [1, 1]}", "arms.real.seeds|seeds must differ"),
        ("repeats.draws=2", "draws divides the images into folds again"),
        ("repeats.times=2", "repeats.times: is called repeats.draws"),
    ],
)
def test_mistakes_are_named(given, said):
    with pytest.raises(UserError, match=said):
        load("paper", (), (given,))


def test_some_arms_may_have_seeds_of_their_own():
    settings = load("sound")
    assert settings.seeds_of("real") == (0, 1)
    assert settings.seeds_of("real+classical+oversampling+variation") == (0,)


def test_no_verdict_rests_on_what_has_seen_the_scored_images():
    leaking = load("paper", (), ("adapt.on=all", "sets.bare={from: noise}", "arms.bare={sets: [bare]}"))
    refused = refusals(leaking, comparisons(leaking))
    assert set(refused) == {name for name, arm in leaking.declared_arms.items() if set(arm.sets) - {"bare"}}
    assert {refusal.fault for refusal in refused.values()} == {Fault.LEAK}
    chosen = load("paper", (), ("classifier.selection=validation",))
    assert set(refusals(chosen, comparisons(chosen))) == set(chosen.declared_arms) - {"real"}

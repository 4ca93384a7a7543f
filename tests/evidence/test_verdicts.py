import numpy as np
import pandas as pd
import pytest
from evidence_examples import drawn, predictions

from sonosynth.evidence.scores import score_arm
from sonosynth.evidence.verdicts import ALPHA, Finding, Refusal, Verdict, smallest_visible, verdicts


@pytest.fixture(scope="module")
def scored():
    return score_arm(predictions("x", *drawn(30)), {}, 10)


def contrast(arm="x", metric="f1", **numbers):
    known = {"difference": 0.1, "low": -0.2, "high": 0.3, "p": 0.03, "p_holm": 0.04}
    return {"arm": arm, "against": "real", "class": "", "metric": metric, "test": "bootstrap", **known, **numbers}


@pytest.mark.parametrize(
    ("difference", "p_holm", "finding"),
    [
        (0.1, 0.09, Finding.NO_EVIDENCE),
        (-0.1, 0.09, Finding.NO_EVIDENCE),
        (0.1, ALPHA, Finding.NO_EVIDENCE),
        (0.1, 0.04, Finding.IMPROVES),
        (-0.1, 0.04, Finding.HARMS),
    ],
)
def test_a_verdict_goes_by_the_corrected_p(scored, difference, p_holm, finding):
    table = pd.DataFrame([contrast(difference=difference, p_holm=p_holm)])
    found = verdicts(table, {"real": scored, "x": scored}, "real", {})
    assert found == [Verdict("x", finding, difference, -0.2, 0.3, p_holm)]


def test_findings_are_told_in_plain_words():
    assert [str(finding) for finding in Finding] == [
        "improves", "harms", "no evidence of a difference", "refused", "not run",
    ]  # fmt: skip


@pytest.mark.parametrize("refusal", [Refusal(leaks=True), Refusal(copied=0.5)], ids=["leaks", "copies"])
@pytest.mark.parametrize("p_holm", [0.001, 0.9])
def test_an_arm_that_must_not_be_believed_is_refused_whatever_its_p(scored, refusal, p_holm):
    table = pd.DataFrame([contrast(p_holm=p_holm), contrast("y", p_holm=p_holm)])
    arms = {"real": scored, "x": scored, "y": scored}
    refused, other = verdicts(table, arms, "real", {"x": refusal})
    assert (refused.finding, refused.refusal, refused.p_holm) == (Finding.REFUSED, refusal, p_holm)
    assert (other.finding == Finding.IMPROVES) == (p_holm < ALPHA)
    assert other.refusal is None


def test_an_arm_that_was_not_run_has_no_numbers(scored):
    (found,) = verdicts(pd.DataFrame(), {"real": scored, "x": None}, "real", {"x": Refusal(leaks=True)})
    assert (found.arm, found.finding) == ("x", Finding.NOT_RUN)
    assert np.isnan([found.difference, found.low, found.high, found.p_holm]).all()


def test_the_verdict_is_of_macro_f1_and_over_splits_of_the_corrected_t_test(scored):
    rows = [
        contrast(p_holm=0.5),
        contrast(metric="accuracy", p_holm=0.001),
        contrast(p_holm=0.001) | {"class": "malignant"},
        contrast(p_holm=0.02, low=0.01, high=0.19) | {"test": "nadeau-bengio"},
        contrast(metric="accuracy", p_holm=0.9) | {"test": "nadeau-bengio"},
    ]
    arms = {"real": scored, "x": scored}
    assert verdicts(pd.DataFrame(rows[:3]), arms, "real", {})[0].finding == Finding.NO_EVIDENCE
    (found,) = verdicts(pd.DataFrame(rows), arms, "real", {})
    assert found == Verdict("x", Finding.IMPROVES, 0.1, 0.01, 0.19, 0.02)


def test_the_smallest_visible_difference():
    assert smallest_visible(157, 1) == 6  # 2 / 2^6 = 0.03125
    assert smallest_visible(157, 4) == 8
    assert smallest_visible(3, 1) == 3

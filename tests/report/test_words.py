import pandas as pd
import pytest

from sonosynth.evidence.verdicts import Finding, Refusal, Verdict
from sonosynth.report import words
from sonosynth.report.facts import Counts, Facts


@pytest.mark.parametrize(
    ("finding", "refusal", "said"),
    [
        (Finding.IMPROVES, None, "real+sd: improves on real (macro F1 +0.100"),
        (Finding.HARMS, None, "real+sd: harms compared with real ("),
        (Finding.NO_EVIDENCE, None, "real+sd: no evidence of a difference from real ("),
        (Finding.REFUSED, Refusal(copied=0.5), "real+sd: refused because 50% of its images copy a training image"),
        (Finding.REFUSED, Refusal(leaks=True), "real+sd: refused because its generator has seen the validation images"),
    ],
)
def test_a_verdict_is_a_sentence_with_its_numbers(finding, refusal, said):
    sentence = words.verdict(Verdict("real+sd", finding, 0.1, -0.02, 0.22, 0.034, refusal), "real")
    assert sentence.startswith(said)
    assert sentence.endswith("95% interval -0.020 to +0.220, p = 0.034 after Holm's correction).")


@pytest.mark.parametrize(
    ("difference", "numbers"), [(0.1, "macro F1 +0.100, p = 0.034"), (float("nan"), "macro F1 –, p = 0.034")]
)
def test_without_an_interval_only_the_difference_is_told(difference, numbers):
    sentence = words.verdict(Verdict("real+sd", Finding.NO_EVIDENCE, difference, p_holm=0.034), "real")
    assert sentence == f"real+sd: no evidence of a difference from real ({numbers} after Holm's correction)."


def test_an_arm_that_was_not_run_has_no_numbers():
    assert words.verdict(Verdict("real+sd", Finding.NOT_RUN), "real") == "real+sd: not run."


def test_only_inceptions_distance_is_called_an_fid():
    assert words.network("inception").endswith("(FID)")
    for name in ("embedded", "/some/folder"):
        assert words.network(name).endswith("not an FID, not comparable with published ones")


@pytest.mark.parametrize(
    ("varied", "near", "said"),
    [
        ([False, False], [False, False], "–"),
        ([True, True], [False, False], "0 of 2"),
        ([True, False], [True, False], "1 of 1; stays near its sources: not for sharing"),
    ],
)
def test_a_set_that_stays_near_its_sources_is_called_so(varied, near, said):
    assert words.near_source(pd.Series(varied), pd.Series(near)) == said


def test_classes_with_alike_neighbours_are_named_among_the_warnings():
    facts = Facts("c", "b", False, 8, "fp32", "r", 8, "last", None, 1, 1, 1, "embedded", False)
    counts = Counts(False, 90, 90, 0, 0, {}, {}, ("malignant",))
    assert words.warnings(facts, counts, 1, 0.5) == [words.adjacent("malignant")]
    assert words.adjacent("malignant").startswith("Images of malignant with consecutive file numbers")

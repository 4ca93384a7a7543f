from dataclasses import replace

import pandas as pd
import pytest

from sonosynth.cohort.traits import Trait
from sonosynth.evidence.settings import Compare
from sonosynth.report import sentences, traits, words
from sonosynth.report.facts import Comparison, Counts, Excluded, Facts, Fault, Refusal

ARM = "real+sd"
COMPARED = Comparison(("sd",), False, "real", "cheap", True)


def contrasts(finding, *bounds):
    """An arm's contrasts with real, and with the simple baseline."""
    rows = [
        {"arm": ARM, "against": other, "difference": (low + high) / 2, "low": low, "high": high, "p_holm": 0.034}
        for other, (low, high) in zip(("real", "cheap"), bounds, strict=False)
    ]
    return pd.DataFrame(rows).assign(finding=finding, metric="f1")


def said(rows, comparison=COMPARED, refusal=None, **compare):
    return sentences.verdict(ARM, rows, comparison, Compare(**compare), "real", refusal)


BOTH = "0.200 higher than with real images alone (95% interval +0.100 to +0.300), and "


@pytest.mark.parametrize(
    ("finding", "bounds", "text"),
    [
        (
            "improves", ((0.1, 0.3), (0.02, 0.2)),
            f"{BOTH}0.110 higher than with the simple baseline (+0.020 to +0.200): a significant improvement on this"
            " data set (p = 0.034, corrected for the number of arms).",
        ),
        (
            "harms", ((-0.3, -0.1),),
            "0.200 lower than with real images alone (95% interval -0.300 to -0.100): significantly worse than real"
            " images alone on this data set.",
        ),
        (
            "no evidence", ((-0.1, 0.1),),
            "the same as with real images alone (95% interval -0.100 to +0.100): no evidence of a difference on this"
            " data set (p = 0.034, corrected for the number of arms).",
        ),
        (
            "no evidence", ((0.1, 0.3), (-0.3, 0.2)),
            f"{BOTH}0.050 lower than with the simple baseline (-0.300 to +0.200): no evidence that its synthetic images"
            " help on this data set, as no advantage over the simple baseline was shown.",
        ),
        (
            "no relevant difference", ((-0.012, 0.01),),
            "0.001 lower than with real images alone (95% interval -0.012 to +0.010): no relevant difference from real"
            " images alone on this data set (it was shown to be below 0.02).",
        ),
        ("not enough runs", ((-0.4, 0.6),), "0.100 higher than with real images alone: not enough runs for a verdict."),
    ],
)  # fmt: skip
def test_a_verdict_is_a_sentence_with_its_numbers(finding, bounds, text):
    assert said(contrasts(finding, *bounds)) == f"{ARM}: macro F1 is {text}"


def test_the_p_value_of_the_primary_arm_is_not_corrected():
    rows = contrasts("improves", (0.1, 0.3))
    assert said(rows, primary=ARM).endswith("(p = 0.034).")


@pytest.mark.parametrize("bounds", [((0.1, 0.3), (0.1, 0.3)), ((-0.3, -0.1),)])
def test_a_clear_difference_that_was_not_tested_is_told_from_one_that_was(bounds):
    sentence = said(contrasts("no evidence", *bounds), primary="first")
    assert "are tested only if the primary arm (first) improves or harms" in sentence and "p = " not in sentence


def test_every_comparator_has_a_name():
    assert words.comparator("real", "real", "real") == "real images alone"
    assert words.comparator("cheap", "real", "cheap") == "the simple baseline"
    for cheap in ("cheap", None):
        assert words.comparator("plain", "real", cheap) == "the same arm without its synthetic images"


def test_what_an_arm_is_not_compared_with_is_told():
    alone = Comparison(("sd",), False, None, None, True)
    assert said(contrasts("no evidence", (-0.1, 0.1)), alone).endswith(
        " It is not compared with the same arm without its synthetic images or a simple baseline (compare.cheap): none"
        " is declared."
    )
    assert "not compared" not in said(contrasts("no evidence", (-0.1, 0.1)), Comparison((), True, None, None, False))


def test_beyond_this_data_set_takes_a_setting():
    others = "on others, if effects vary between data sets by 0.01 (standard deviation)"
    assert others in said(contrasts("no evidence", (-0.1, 0.1)), transfer=0.01)
    assert "on others" not in said(contrasts("no evidence", (-0.1, 0.1)))


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal(Fault.COPIES, 0.5), "too many of its images are copies of training images (50%)."),
        (Refusal(Fault.LEAK), "its generator has seen the scored images."),
        (
            Refusal(Fault.LOST, lost={"a": ("x", "y"), "b": ("x",)}),
            "a set that it adds has lost all usable images of a class (x, y in a; x in b).",
        ),
        (Refusal(Fault.CHOSEN), "its epoch was chosen on the scored images."),
    ],
)
def test_a_refusal_has_a_reason_and_no_numbers(refusal, reason):
    rows = pd.DataFrame([{"arm": ARM, "against": "real", "finding": "refused"}])
    assert said(rows, refusal=refusal) == f"{ARM}: refused, because {reason}"


def test_an_arm_that_was_not_run_has_no_numbers():
    assert said(pd.DataFrame([{"arm": ARM, "against": "real", "finding": "not run"}])) == f"{ARM}: not run."


@pytest.mark.parametrize("refusal", [None, Refusal(Fault.LEAK)])
def test_if_the_primary_arm_is_missing_the_reader_is_told_how_the_others_are_tested(refusal):
    rows = pd.DataFrame([{"arm": ARM, "against": "real", "finding": "refused" if refusal else "not run"}])
    assert "the others are tested as if none had been named" in said(rows, refusal=refusal, primary=ARM)
    assert "primary" not in said(rows, refusal=refusal, primary="another")


def test_only_inceptions_distance_is_called_an_fid():
    assert words.network("inception").endswith("(FID)")
    for name in ("embedded", "/some/folder"):
        assert words.network(name).endswith("not an FID, not comparable with published ones")


@pytest.mark.parametrize(
    ("embedded", "networks", "said"),
    [
        (True, ("embedded",), True),
        (True, ("x", "embedded"), True),
        (True, ("x",), False),
        (False, ("embedded",), False),
    ],
)
def test_features_that_know_the_bases_images_are_said_to(embedded, networks, said):
    facts = Facts("c", "x", embedded, 8, "x", "x", 8, "last", None, 1, 1, 1, networks, False, {}, 1)
    text = words.fidelity(facts)
    assert all(name in text for name in networks)
    assert ("may favour its images" in text) == said


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
    facts = Facts("c", "b", False, 8, "fp32", "r", 8, "last", None, 1, 1, 1, ("embedded",), False, {}, 1)
    counts = Counts(False, 90, 90, 0, 0, 0, 0, {}, {}, adjacent=("malignant",))
    assert words.warnings(facts, counts) == [words.adjacent("malignant")]
    assert words.adjacent("malignant").startswith("Images of malignant with consecutive file numbers")


def trait(kind, share, others, p):
    counts, images = {"a": round(100 * share), "b": round(100 * others)}, {"a": 100, "b": 100}
    return Trait(kind, counts, images, "a", share, others, p)


def test_marks_that_go_with_the_label_are_warned_of_with_their_numbers():
    found = (trait("text", 0.4, 0.02, 1e-9), trait("calipers", 0.4, 0.38, 1), trait("border", 0.05, 0, 0.001))
    facts = Facts("c", "b", False, 8, "fp32", "r", 8, "last", None, 1, 1, 1, ("embedded",), False, {}, 1)
    counts = Counts(False, 90, 90, 0, 0, 0, 0, {}, {}, traits=found)
    (sentence,) = words.warnings(facts, counts)
    assert sentence.startswith(
        "Burnt-in text goes with the label: in 40% of the images of a, in 2% of the others (p = 1e-"
    )
    assert "marks.remove=all" in sentence
    (sentence,) = words.warnings(replace(facts, marks_filled=True), counts)
    assert "were filled in" in sentence


def test_lost_colour_is_told_if_it_is_more_than_an_oddity_and_more_if_it_goes_with_the_label():
    assert traits.warnings((trait("colour", 0.03, 0.03, 1),), filled=False) == []
    (plain,) = traits.warnings((trait("colour", 0.5, 0.5, 1),), filled=False)
    assert "100 of 200 images have colour (50 of 100 a, 50 of 100 b)" in plain
    assert "goes with the label" not in plain
    (strong,) = traits.warnings((trait("colour", 0.5, 0, 1e-9),), filled=False)
    assert "Colour goes with the label: in 50% of the images of a, in 0% of the others" in strong


def test_another_modality_is_named_and_the_embedded_base_is_said_to_be_of_another():
    facts = Facts("c", "b", True, 8, "fp32", "r", 8, "last", None, 1, 1, 1, ("embedded",), False, {}, 1, modality="ct")
    counts = Counts(False, 90, 30, 0, 0, 0, 0, {}, {})
    assert words.measured_on(facts, counts)["cohort"].endswith("90 training and 30 validation CT images")
    (sentence,) = words.warnings(facts, counts)
    assert sentence.endswith("It was pretrained on simulated images of another modality.")


def test_exclusions_are_told_by_class_and_in_plain_words():
    found = (Excluded("a", "label conflict of near-duplicates", 3), Excluded("", "can't be used", 2))
    assert words.excluded(found) == "3 a (a near-duplicate has a different label); 2 files (can't be used)"
    assert [words.reason(one) for one in found] == ["a near-duplicate has a different label", "can't be used"]

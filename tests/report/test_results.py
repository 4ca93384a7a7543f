"""A score without an interval stands alone, in the page, the terminal, LaTeX and the forest plot."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from sonosynth.evidence.judging import Finding
from sonosynth.fidelity import jobs as fidelity
from sonosynth.report.answer import answer
from sonosynth.report.declared import Declared
from sonosynth.report.facts import Counts, Facts
from sonosynth.report.headline import explained, headline
from sonosynth.report.page import latex
from sonosynth.report.results import SCORES, Results
from sonosynth.report.sections.ablation import forest
from sonosynth.report.sections.fidelity import across
from sonosynth.report.symbols import SYMBOLS
from sonosynth.report.tables import COLUMNS
from sonosynth.report.terminal import summary
from sonosynth.synthesis.settings import Set
from sonosynth.tasks.arms import Arm

NAN = float("nan")


@pytest.fixture
def results():
    """Two arms; F1 has no interval in the first, and nothing has one in the second."""
    table = pd.DataFrame([{"arm": "real", "status": "run", "n_train": 9, "n_validation": 9}] * 2)
    table.loc[1, "arm"] = "real+sd"
    for name in SCORES:
        table[[name, f"{name}_low", f"{name}_high"]] = [[0.5, 0.4, 0.6], [0.7, NAN, NAN]]
    table.loc[0, ["f1_low", "f1_high"]] = NAN
    said = {"finding": "improves", "sentence": "real+sd: improves."}
    named = {"arm": "real+sd", "against": "real", "class": "", "metric": "f1", "test": "guarded t", **said}
    verdicts = pd.DataFrame([named | {"difference": 0.2, "p": 0.1}], columns=COLUMNS)
    return Results(
        table=table, classes=pd.DataFrame(), verdicts=verdicts,
        fidelity=pd.DataFrame(columns=fidelity.COLUMNS),
        memorisation=pd.DataFrame(), predictions=pd.DataFrame(), arms={"real+sd": ("sd",)}, seconds={"a": 72},
        facts=Facts(
            ":heart: [b]x[/b]", "x", False, 8, "x", "x", 8, "last", None, 1, 1, 1, ("x",), False, {"a": 0.5}, 2
        ),
        counts=Counts(False, 9, 9, 0, 0, 0, 1, {}, {}),
    )  # fmt: skip


def test_rows_have_the_intervals_that_there_are(results):
    first, second = results.rows()
    assert (first["accuracy"], first["accuracy_interval"]) == ("0.500", "0.400 to 0.600")
    assert first["f1"] == "0.500" and second["f1"] == "0.700"
    assert {name for name in first if name.endswith("_interval")} == {f"{s}_interval" for s in SCORES if s != "f1"}
    assert not any(name.endswith("_interval") for name in second)


def test_what_critics_said_is_told_by_set_and_class(results):
    said = [("sd", "a", True, 0.5), ("sd", "a", False, 0.0), ("sd", "b", True, 1.0), ("ti", "a", False, 0.1)]
    critics = pd.DataFrame(said, columns=["set", "label", "recognised", "confidence"])
    assert results.weighted() == []
    assert [tuple(row.values()) for row in replace(results, critics=critics).weighted()] == [
        ("sd", "a", "2", "50%", "0.25"), ("sd", "b", "1", "100%", "1.00"), ("ti", "a", "1", "0%", "0.10")
    ]  # fmt: skip


def test_latex_leaves_their_cells_empty(results):
    rows = latex(results).splitlines()[2:-1]
    small = r"\footnotesize (0.400--0.600)"
    assert rows[1] == rf" & & {small} &  & {small} & {small} & {small} & \\"
    assert [row.split(" & ")[0] for row in rows] == ["real", "", "real+sd"]


def test_the_forest_plot_shows_the_difference_alone(results):
    row = results.verdicts.iloc[0].to_dict()
    verdicts = pd.DataFrame([row, *(row | {"against": name} for name in ("cheap", "plain", "other"))])
    axes = forest(verdicts, replace(results.facts, cheap="cheap"), "macro F1").axes
    assert [axis.get_title().replace("\n", " ") for axis in axes] == [
        "against real images alone",
        "against the simple baseline",
        "against the same arm without its synthetic images",
    ]
    axis = axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["real+sd"]
    assert axis.lines[0].get_xdata() == pytest.approx([0.2])
    assert not any(map(len, axis.collections[0].get_segments()))
    plt.close(axis.figure)


def test_a_finding_is_told_by_the_colour_and_by_the_shape_of_its_marker(results):
    row = results.verdicts.iloc[0].to_dict()
    rows = pd.DataFrame([row | {"arm": str(finding), "finding": str(finding)} for finding in Finding])
    lines = forest(rows, results.facts, "macro F1").axes[0].lines
    drawn = [line for line in lines if line.get_marker() not in ("None", "|")]
    assert len({line.get_marker() for line in drawn}) == len(Finding)
    assert len({symbol.path for symbol in SYMBOLS.values()}) == len(Finding)
    plt.close("all")


def test_the_answer_has_what_each_arm_has_to_beat_and_no_interval_of_too_few_runs(results):
    row = results.verdicts.iloc[0].to_dict() | {"low": 0.1, "high": 0.3}
    few = row | {"arm": "few", "finding": "not enough runs", "difference": -0.4, "low": -9, "high": 9}
    lost = row | {"arm": "lost", "finding": "refused", "difference": NAN, "low": NAN, "high": NAN}
    verdicts = pd.DataFrame([row, row | {"against": "cheap", "difference": 0.15}, few, lost])
    facts = replace(results.facts, cheap="cheap", primary="few")
    found = answer(replace(results, verdicts=verdicts).classification, results.declared, facts, 0.02)
    (_, (first,)), (_, others) = found.groups
    compared = ["real images alone", "the simple baseline"]
    assert (first.arm, [one.against for one in first.contrasts]) == ("real+sd", compared)
    assert [first.role, *(one.role for one in others)] == ["", "the primary arm", ""]
    assert found.findings == ["improves", "not enough runs", "refused"]
    assert [(one.arm, len(one.contrasts)) for one in others] == [("few", 1), ("lost", 0)]
    assert pd.isna(others[0].contrasts[0].low)
    assert found.ticks[0] <= -0.4 and found.ticks[-1] >= 0.3 and found.ticks[0] > -1
    assert (found.place(found.ticks[0]), found.place(found.ticks[-1])) == (0, 100)


def test_the_recall_of_the_class_that_matters_is_in_the_table(results):
    classes = [("real", "m", "recall", 0.8, 0.7, 0.9), ("real+sd", "m", "recall", 0.9, NAN, NAN)]
    classes += [("real", "b", "recall", 0.1, 0, 0.2), ("real", "m", "f1", 0.2, 0, 0.2)]
    columns = ["arm", "class", "metric", "value", "low", "high"]
    named = replace(results, classes=pd.DataFrame(classes, columns=columns), facts=replace(results.facts, positive="m"))
    first, second = named.rows()
    assert (first["positive"], first["positive_interval"], second["positive"]) == ("0.800", "0.700 to 0.900", "0.900")
    assert named.columns["positive"] == "recall of m" and "recall of m" in latex(named)
    assert "positive" not in results.columns and "0.800" not in latex(results)


def test_the_terminal_prints_text_as_it_is(results):
    text = summary(results)
    assert "cohort: :heart: [b]x[/b]: 9 training and 9 validation images" in text
    assert "draws left out: 1 draw of folds not finished by every arm" in text
    assert "nan" not in text


def said(results):
    return results.sentences()[-1]


def test_the_smallest_visible_difference_is_half_the_narrowest_interval_that_decides(results):
    assert results.classification.smallest is None
    results.verdicts[["low", "high"]] = [[0.1, 0.3]]
    assert results.classification.smallest == pytest.approx(0.1)
    assert "less than 0.100 in macro F1 from real images alone could not have been significant" in said(results)
    results.verdicts["finding"] = "not enough runs"
    assert results.classification.smallest is None
    # A block takes 36 seconds: a job of 72 seconds, half the machine.
    assert "repeats.folds=5): about 3 min in all" in results.sentences()[-1]
    assert headline(results).startswith("No verdict")


def studied(results, primary=None, **findings):
    """A study of arms with synthetic images, by their findings."""
    row = results.verdicts.iloc[0].to_dict() | {"low": 0.1, "high": 0.3}
    rows = [row | {"arm": arm, "finding": finding, "sentence": f"{arm}: so."} for arm, finding in findings.items()]
    facts = replace(results.facts, primary=primary)
    return replace(results, verdicts=pd.DataFrame(rows), arms=dict.fromkeys(findings, ("sd",)), facts=facts)


@pytest.mark.parametrize(
    ("findings", "head", "first"),
    [
        ({"a": "improves", "b": "harms", "c": "no evidence"}, "Synthetic images help on this data set: ", "a: so."),
        ({"a": "no evidence", "b": "harms"}, "Synthetic images were not shown to help on this data set (2 arms: ", "b"),
        (
            {"a": "no evidence", "b": "refused"},
            "Synthetic images were not shown to help",
            "With synthetic images, macro",
        ),
        ({"a": "not enough runs"}, "No verdict: ", "A verdict needs at least 5 grouped folds"),
    ],
)
def test_the_first_lines_say_whether_synthetic_images_help_how_sure_that_is_and_why_not_more(
    results, findings, head, first
):
    study = studied(results, **findings)
    assert headline(study).startswith(head) and explained(study)[0].startswith(first)
    assert explained(study)[-1] == study.sentences()[-1]


def test_the_primary_arm_is_told_first_whatever_it_showed(results):
    assert explained(studied(results, "b", a="no evidence", b="no evidence"))[0] == "b: so."


def test_what_an_arm_has_to_beat_besides_real_images_makes_no_difference_visible(results):
    row = results.verdicts.iloc[0].to_dict() | {"low": 0.1, "high": 0.3}
    cheap = row | {"against": "cheap", "low": 0.1, "high": 0.12, "sentence": ""}
    both = replace(results, verdicts=pd.DataFrame([row, cheap]))
    assert both.classification.smallest == pytest.approx(0.1)
    ends = {
        "improves": "on its own; once one arm is significant, smaller ones can be.",
        "no evidence": "significant.",
    }
    for finding, end in ends.items():
        assert said(replace(both, verdicts=both.verdicts.assign(finding=finding))).endswith(end)


def test_the_largest_prior_shift_is_told(results):
    assert results.prior_shift() == ""
    row = results.verdicts.iloc[0].to_dict()
    further = [row | {"metric": "excess", "class": name, "difference": x} for name, x in (("a", 0.02), ("b", -0.2))]
    shifted = replace(results, verdicts=pd.DataFrame([row, *further]))
    assert "the mean probability of b is 0.20 lower in real+sd than in real, the" in shifted.prior_shift()


def fidelity_rows(*rows):
    about = {
        "class": "",
        "against": "",
        "features": "x",
        "protocol": fidelity.TRAINING,
        "metric": "frechet",
        "low": NAN,
    }
    return pd.DataFrame([about | row for row in rows], columns=fidelity.COLUMNS)


def test_the_distance_that_is_shown_is_that_of_equal_counts_on_the_first_features(results):
    matched = {"set": "sd", "value": 13.2, "matched": 8.17, "floor": 4.35, "n_matched": 68, "classes": '["b", "n"]'}
    results = replace(
        results,
        fidelity=fidelity_rows(
            matched, matched | {"features": "other", "matched": 3}, matched | {"class": "b"},
            matched | {"class": "b, or not"}, {"set": "sd", "protocol": fidelity.MIX, "value": 1},
        ),
    )  # fmt: skip
    assert [row["distance"] for row in results.rows()] == ["–", "8.17"]
    assert results.floor().endswith(": sd 8.17 against 4.35 (68 without b, or not)")


def test_a_study_without_distances_says_so(results):
    assert results.floor() == "No set has enough images for a Fréchet distance"
    assert results.caricatures() == []


def test_caricatures_are_a_sentence_for_each_set_and_a_matrix(results):
    about = {"protocol": fidelity.ACROSS, "set": "sd", "floor": 25.0, "n_matched": 41}
    own = about | {"class": "malignant", "against": "malignant", "matched": 27.0}
    away = about | {"class": "malignant", "against": "normal", "matched": 54.5, "excess_low": 16}
    near = about | {"class": "malignant", "against": "benign", "matched": 26.0, "excess_low": 1}
    rows = fidelity_rows(own, away, near)
    (sentence,) = replace(results, fidelity=rows).caricatures()
    assert sentence.startswith("Caricatures in sd: ")
    assert "malignant from normal (54.5 against 25)" in sentence and "benign" not in sentence
    axis = across(rows).axes[0]
    assert {text.get_text() for text in axis.texts} == {"27\n(25)", "54.5\n(25)", "26\n(25)"}
    plt.close(axis.figure)


def test_copies_are_counted_set_by_set(results):
    rows = [("sd", True, True, NAN, False), ("sd", True, False, NAN, False), ("variation", False, False, 0.8, True)]
    columns = ["set", "copy", "verbatim", "source_correlation", "near_source"]
    found = replace(results, memorisation=pd.DataFrame(rows, columns=columns)).copies()
    assert [tuple(row.values()) for row in found] == [
        ("sd", "2", "2", "100%", "1", "–"),
        ("variation", "1", "0", "0%", "0", "1 of 1; stays near its sources: not for sharing"),
    ]


def test_controls_are_no_synthetic_images(results):
    """Repeated real images that improve, with the augmentation of their arm, say nothing of synthetic ones."""
    control = Arm(sets=("sd",))
    arms = {"real": Arm(), "real+sd": control, "other": control, "best": Arm(best_of=("real+sd", "other"))}
    declared = Declared({}, {"sd": Set(start="real", kind="copy")}, arms)
    assert headline(results).startswith("Synthetic images help")
    of_controls = replace(results, declared=declared)
    assert declared.controls == {"real+sd", "other", "best"}
    assert headline(of_controls) == "No arm adds synthetic images."
    [(title, [row])] = answer(of_controls.judged[0], declared, results.facts, 0.02).groups
    assert (title, row.arm) == ("Controls", "real+sd")

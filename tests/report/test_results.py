"""A score without an interval stands alone, in the page, the terminal, LaTeX and the forest plot."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from sonosynth.evidence.contrasts import COLUMNS
from sonosynth.report.facts import Counts, Facts
from sonosynth.report.page import latex
from sonosynth.report.results import SCORES, Results
from sonosynth.report.sections.ablation import forest
from sonosynth.report.terminal import summary

NAN = float("nan")


@pytest.fixture
def results():
    """Two arms; F1 has no interval in the first, and nothing has one in the second."""
    table = pd.DataFrame([{"arm": "real", "status": "run", "n_train": 9, "n_validation": 9}] * 2)
    table.loc[1, "arm"] = "real+sd"
    for name in SCORES:
        table[[name, f"{name}_low", f"{name}_high"]] = [[0.5, 0.4, 0.6], [0.7, NAN, NAN]]
    table.loc[0, ["f1_low", "f1_high"]] = NAN
    named = {"arm": "real+sd", "against": "real", "class": "", "metric": "f1", "test": "bootstrap"}
    differences = pd.DataFrame([named | {"difference": 0.2, "p": 0.1}], columns=COLUMNS)
    verdicts = pd.DataFrame([{"arm": "real+sd", "finding": "improves", "sentence": "real+sd: improves."}])
    return Results(
        table=table, classes=pd.DataFrame(), differences=differences, verdicts=verdicts,
        fidelity=pd.DataFrame(columns=["set", "class", "protocol", "metric", "value", "matched", "floor", "n_matched"]),
        memorisation=pd.DataFrame(), predictions=pd.DataFrame(), arms={"real+sd": ("sd",)}, smallest=6,
        facts=Facts(":heart: [b]x[/b]", "x", False, 8, "x", "x", 8, "last", None, 1, 1, 1, "x", False),
        counts=Counts(False, 9, 9, 0, 0, {}, {}),
    )  # fmt: skip


def test_rows_have_the_intervals_that_there_are(results):
    first, second = results.rows()
    assert (first["accuracy"], first["accuracy_interval"]) == ("0.500", "0.400 to 0.600")
    assert first["f1"] == "0.500" and second["f1"] == "0.700"
    assert {name for name in first if name.endswith("_interval")} == {f"{s}_interval" for s in SCORES if s != "f1"}
    assert not any(name.endswith("_interval") for name in second)


def test_latex_leaves_their_cells_empty(results):
    rows = latex(results).splitlines()[2:-1]
    small = r"\footnotesize (0.400--0.600)"
    assert rows[1] == rf" & & {small} &  & {small} & {small} & {small} & \\"
    assert [row.split(" & ")[0] for row in rows] == ["real", "", "real+sd"]


def test_the_forest_plot_shows_the_difference_alone(results):
    axis = forest(results.differences).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["real+sd"]
    assert axis.lines[0].get_xdata() == pytest.approx([0.2])
    assert not any(map(len, axis.collections[0].get_segments()))
    plt.close(axis.figure)


def test_the_terminal_prints_text_as_it_is(results):
    text = summary(results)
    assert "cohort: :heart: [b]x[/b]: as given" in text
    assert "nan" not in text


def test_copies_are_counted_set_by_set(results):
    rows = [("sd", True, True, NAN, False), ("sd", True, False, NAN, False), ("variation", False, False, 0.8, True)]
    columns = ["set", "copy", "verbatim", "source_correlation", "near_source"]
    found = replace(results, memorisation=pd.DataFrame(rows, columns=columns)).copies()
    assert [tuple(row.values()) for row in found] == [
        ("sd", "2", "2", "100%", "1", "–"),
        ("variation", "1", "0", "0%", "0", "1 of 1; stays near its sources: not for sharing"),
    ]

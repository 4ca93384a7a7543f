"""Several runs side by side."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from conftest import sign
from sonosynth.comparing import side_by_side
from sonosynth.errors import UserError
from sonosynth.report.side_by_side import Untestable, as_json, show


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def rewrite(root, job, place, change):
    """Change a table of a finished job, as if the job had made it so."""
    file = root / place
    change(pd.read_csv(file, dtype=str, keep_default_na=False)).to_csv(file, index=False)
    sign(root, job)


def test_settings_that_differ_keep_their_types(finished, copy):
    text = (copy / "study.yaml").read_text()
    assert "  steps: 2\n  batch: 2\n  accumulation: 1\n  learning_rate: 0.005\n" in text
    text = text.replace("learning_rate: 0.005\n", "learning_rate: 0.01\n").replace("seed: 0\n", "", 1)
    (copy / "study.yaml").write_text(text)
    found = side_by_side([finished, copy])
    one, other = found.runs
    assert found.settings["token.learning_rate"] == {one: 0.005, other: 0.01}
    assert found.settings["seed"] == {one: 0}
    assert len(found.settings) == 2


def test_the_same_results_are_identical_and_nothing_is_tested(finished, copy, capsys):
    found = side_by_side([finished, copy])
    (test,) = found.tests
    assert test.why is None and test.images == 6 and test.blocks == 1
    assert {row["finding"] for row in test.rows} == {"identical predictions"}
    arms = [row["arm"] for row in found.arms[str(copy)]]
    assert [row["arm"] for row in test.rows] == arms
    table = pd.read_csv(copy / "evaluation" / "table.csv")
    assert [row["f1"] for row in found.arms[str(copy)]] == list(table["f1"])
    assert {row["set"] for row in found.distances[str(copy)]} == {"sd", "sd+img2img", "sd+ti", "sd+ti+img2img"}
    show(found)
    shown = capsys.readouterr().out
    assert "No setting differs." in shown and "Exploratory" not in shown and "identical predictions" in shown


def test_what_is_tested_is_said_to_be_exploratory_and_corrected(finished, copy, capsys):
    rewrite(copy, "predictions", "evaluation/predictions.csv", lambda x: x.assign(
        p_benign=x["p_benign"].where(x["arm"] != "real+sd", x["p_normal"]),
        p_normal=x["p_normal"].where(x["arm"] != "real+sd", x["p_benign"]),
    ))  # fmt: skip
    found = side_by_side([finished, copy])
    (row,) = [row for row in found.tests[0].rows if row["finding"] != "identical predictions"]
    assert (row["arm"], row["finding"]) == ("real+sd", "not enough runs")
    show(found)
    shown = capsys.readouterr().out
    assert "Exploratory:" in shown and "the 1 difference tested here" in shown
    stored = json.loads(as_json(found))
    assert stored["note"] in shown and stored["tests"][0]["rows"][1]["p"] == row["p"]


def test_an_image_is_the_same_by_its_contents_and_label_alone(finished, copy):
    def renamed(rows):
        return rows.assign(id="x" + rows["id"])

    for job, place in (("predictions", "evaluation/predictions.csv"), ("split", "cohort.csv")):
        rewrite(copy, job, place, renamed)
    rewrite(copy, "cohort", ".parts/images.csv", renamed)
    assert side_by_side([finished, copy]).tests[0].why is None
    rewrite(copy, "cohort", ".parts/images.csv", lambda x: x.assign(label=x["label"].str[::-1]))
    assert side_by_side([finished, copy]).tests[0].why is Untestable.NO_IMAGES


def test_other_splits_classes_and_selection_allow_no_test(finished, copy, capsys):
    rewrite(copy, "predictions", "evaluation/predictions.csv", lambda x: x.iloc[[*range(len(x) - 1)]])
    lacking = side_by_side([finished, copy]).tests[0]
    assert lacking.why is Untestable.UNFINISHED
    rewrite(copy, "predictions", "evaluation/predictions.csv", lambda x: x[x["id"] != x["id"].iloc[0]])
    found = side_by_side([finished, copy])
    assert found.tests[0].why is Untestable.OTHER_BLOCKS and found.tests[0].images == 5
    show(found)
    assert "no test is possible. The reason: their splits differ" in capsys.readouterr().out
    renamed = {"p_normal": "p_other"}
    rewrite(copy, "predictions", "evaluation/predictions.csv", lambda x: x.rename(columns=renamed))
    assert side_by_side([finished, copy]).tests[0].why is Untestable.OTHER_CLASSES


def test_other_groups_and_other_arms_allow_no_test(finished, copy):
    before = (copy / ".parts" / "images.csv").read_text()
    of_one = pd.read_csv(copy / "evaluation" / "predictions.csv")["id"].unique()[:2]
    rewrite(copy, "cohort", ".parts/images.csv", lambda x: x.assign(group=x["id"].isin(of_one).map({True: "p"})))
    assert side_by_side([finished, copy]).tests[0].why is Untestable.OTHER_GROUPS
    (copy / ".parts" / "images.csv").write_text(before)
    sign(copy, "cohort")
    rewrite(copy, "predictions", "evaluation/predictions.csv", lambda x: x.assign(arm="x" + x["arm"]))
    assert side_by_side([finished, copy]).tests[0].why is Untestable.NO_ARM


def test_scores_that_chose_their_epoch_are_not_tested(finished, copy):
    text = (copy / "study.yaml").read_text()
    assert "selection: last" in text
    (copy / "study.yaml").write_text(text.replace("selection: last", "selection: validation"))
    assert side_by_side([finished, copy]).tests[0].why is Untestable.CHOSEN


def test_what_is_no_finished_run_is_refused(finished, copy, tmp_path):
    for roots, message in (
        ([finished], "two or more different runs"),
        ([finished, finished], "two or more different runs"),
        ([finished, tmp_path / "none"], "is not a run folder"),
    ):
        with pytest.raises(UserError, match=message):
            side_by_side(roots)
    (copy / "evaluation" / "predictions.csv").write_text("arm\n")
    with pytest.raises(UserError, match=r"predictions\.csv: is missing, or not what the job predictions wrote"):
        side_by_side([finished, copy])
    (copy / ".jobs" / "tables.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        side_by_side([finished, copy])

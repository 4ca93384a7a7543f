"""Which images of a set count, and how a run judges them."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import sign
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.run import Study
from studies import FEW, again, as_table, decisive, pixels_of, replace_images, run, split_of

pytestmark = pytest.mark.usefixtures("no_figures")


def test_a_generator_that_copies_is_refused(copy):
    replace_images(copy, "sd", np.flip(pixels_of(copy, "train")[:7], axis=2))
    again(copy, "evaluate")
    verdicts = decisive(copy)
    assert verdicts.loc["real+sd", "finding"] == "refused"
    assert "some of its images are training images (100%)" in verdicts.loc["real+sd", "sentence"]


def test_held_out_real_images_are_at_the_floor(copy, tmp_path):
    write_cohort(tmp_path / "others", {"benign": 1, "malignant": 3, "normal": 4}, seed=9, size=32)
    files = sorted(p for p in (tmp_path / "others").glob("[mn]*/*") if "_mask" not in p.stem)
    replace_images(copy, "sd", [np.asarray(Image.open(file)) for file in files])
    again(copy, "evaluate")
    fidelity = pd.read_csv(copy / "evaluation" / "fidelity.csv")
    row = fidelity[(fidelity["metric"] == "frechet") & fidelity["class"].isna() & fidelity["floor"].notna()]
    row = row.set_index("set")
    assert row.loc["sd", "matched"] < 2 * row.loc["sd", "floor"]
    assert row.loc["sd", "matched"] < row.loc["sd+ti", "matched"]
    assert decisive(copy).loc["real+sd", "finding"] != "refused"


def test_copies_can_be_left_out(copy, settings, phantoms):
    replace_images(copy, "sd", pixels_of(copy, "train")[:3])
    run(Study(phantoms, settings("memorisation.drop=true")), copy, "evaluate")
    copies = pd.read_csv(copy / "evaluation" / "memorisation.csv")
    flagged = int(copies[copies["set"] == "sd"]["copy"].sum())
    assert flagged >= 3
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    assert table.loc["real+sd", "n_train"] == 24 - flagged


def test_the_thresholds_of_copies_do_not_know_the_validation_images(copy):
    """They are chosen without the images that the classifiers are scored on."""
    before = json.loads((copy / ".parts" / "copies" / "real.json").read_text())
    split, cohort = split_of(copy)
    file = copy / ".parts" / "pixels" / "real.npy"
    known = np.load(file)
    held_out = cohort.rows(split.validation["id"])
    known[held_out] = known[cohort.rows(split.train["id"])[: len(held_out)]]  # as near as can be
    np.save(file, known)
    sign(copy, "cohort")
    with pytest.raises(UserError):  # the features of the old pixels are checked, too, and are made again
        raise UserError("") if "copies/real" in again(copy, "evaluate") else AssertionError
    assert json.loads((copy / ".parts" / "copies" / "real.json").read_text()) == before


def test_one_patient_alone_flags_no_copies(tmp_path, settings, phantoms):
    def row(file, number):
        return f"{file.name},{file.parent.name},patient {number % 5 == 0}"

    as_table(phantoms, tmp_path / "c.csv", "file,label,group", row)
    few = (FEW, "adapters.sd+ti=null", "classifier.seeds=[0]")
    run(Study(tmp_path / "c.csv", settings(*few)), tmp_path / "run", "evaluate")
    assert not pd.read_csv(tmp_path / "run" / "evaluation" / "memorisation.csv")["copy"].any()


def test_flawed_images_are_not_trained_on(copy):
    file = copy / "synthetic" / "sd" / "metadata.csv"
    rows = pd.read_csv(file, keep_default_na=False)
    rows.loc[:2, "flaw"] = "constant"
    rows.to_csv(file, index=False)
    sign(copy, "synthetic/sd")
    again(copy, "evaluate")
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    assert table.loc["real+sd", "n_train"] == table.loc["real+sd+ti", "n_train"] - 3


def test_an_arm_without_predictions_is_not_run(copy):
    file = copy / "evaluation" / "predictions.csv"
    predictions = pd.read_csv(file)
    predictions[predictions["arm"] != "real+oversampling"].to_csv(file, index=False)
    sign(copy, "predictions")
    again(copy)
    row = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm").loc["real+oversampling"]
    assert row["status"] == "not run"
    assert row.drop("status").isna().all()
    assert "not run" in (copy / "report.html").read_text()

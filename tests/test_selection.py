"""A study with a selected set; what it refuses; and scored images, which have no part in the selection."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from conftest import figures_of
from sonosynth.artefacts import Artefact, CohortImages, Description, Split
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.run import Study, reopen
from sonosynth.synthesis import selector
from sonosynth.tasks import selecting

FEW = (
    "adapters.sd=null",
    "sets={sd: null, sd+ti: {select: true, count: 2}, variation: {from: real, adapter: sd+ti, count: 2, select: true}}",
    "arms={real+oversampling: {balance: oversample},"
    " chosen: {balance: oversample, sets: [sd+ti, variation], weight: threshold}}",
    "classifier.seeds=[0]", "fidelity.measures=[features]",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("selection")
    write_cohort(folder / "cohort", {"benign": 11, "malignant": 8, "normal": 6}, seed=4, size=32)
    with figures_of():
        Study(folder / "cohort", settings(*FEW)).run(folder / "run", processes=False)
    return folder / "run"


@pytest.fixture(scope="module")
def made(finished):
    return {job.name: (job, status.made) for job, status in reopen(finished).statuses(finished)}


def test_a_whole_study_selects_and_says_what_it_dropped(finished, made):
    table = pd.read_csv(finished / "evaluation" / "selection.csv", keep_default_na=False)
    assert list(table.columns[:4]) == ["set", "draw", "split", "generator"] and set(table["set"]) == {
        "sd+ti", "variation",
    }  # fmt: skip
    for name in ("sd+ti", "variation"):
        rows = pd.read_csv(finished / "synthetic" / name / "metadata.csv", keep_default_na=False)
        last = table[table["set"] == name].groupby("file_name", sort=False).tail(1)
        assert list(last["file_name"]) == list(rows["file_name"]) and list(last["reason"]) == list(rows["flaw"])
        assert list(last["attempt"]) == list(rows["attempts"]) and list(last["seed"]) == list(rows["seed"])
        assert set(rows["attempts"][rows["flaw"] != ""]) <= {1 + selector.RETRIES}
        said = pd.read_csv(finished / "evaluation" / "critics.csv").query("set == @name")
        assert said["recognised"][rows["flaw"].to_numpy() == ""].all()  # by the same critics
    assert sum(job.run is selecting.make_selected for job, _ in made.values()) == 2
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert 'id="weights"' in page and "shows another class" in page
    assert "were made again with up to seven further seeds" in page


def planted(made, finished, tmp_path, about):
    """The job of a selected set, whose critics are said to have seen other images."""
    job, _ = made["synthetic/sd+ti"]
    critics = made["training/critics"][1]
    (tmp_path / "about").write_text(json.dumps(about))
    critics = replace(critics, places={**critics.places, "about": tmp_path / "about"})
    features = Description(made["measures/features/real"][1])
    return dict(settings=job.settings, critics=Artefact(critics), features=features, work=tmp_path)


def test_scored_images_have_no_part_in_a_selection(finished, made, tmp_path):
    split, cohort = Split(made["split"][1]), CohortImages(made["cohort"][1])
    about = Artefact(made["training/critics"][1]).json("about")
    assert set(about["folds"]) == set(split.train["sha256"])
    scored = split.validation["sha256"].iloc[0]
    leaking = {"folds": {**about["folds"], scored: 0}}
    with pytest.raises(UserError, match="the training images of the critics: was made from 1 validation image"):
        selecting.make_selected(split=split, cohort=cohort, **planted(made, finished, tmp_path, leaking))
    table = split.rows.copy()
    row = table.index[(table["split"] == "train") & (table["label"] == "benign")][0]
    images = cohort.images.copy()
    images.loc[images["id"] == table["id"][row], "sha256"] = scored
    images.to_csv(tmp_path / "images.csv", index=False)
    place = replace(cohort.made, places={**cohort.made.places, "images": tmp_path / "images.csv"})
    with pytest.raises(UserError, match="the floor under the distances between selected images: was made from 1"):
        selecting.make_selected(
            split=split, cohort=CohortImages(place), **planted(made, finished, tmp_path, about)
        )  # fmt: skip


@pytest.mark.parametrize("how", ["kind: copy, from: real", "from: real, strength: 0"])
def test_images_that_are_not_drawn_are_not_selected(settings, phantoms, tmp_path, how):
    with pytest.raises(UserError, match=r"sets.fixed.select: its images are not drawn at random"):
        Study(phantoms, settings(f"sets={{fixed: {{{how}, select: true, count: 2}}}}")).run(
            tmp_path / "run", processes=False
        )

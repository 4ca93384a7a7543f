"""A study that finds out whether images show their masks, and makes those again that don't."""

import json
import shutil

import pandas as pd
import pytest

from conftest import figures_of, sign
from sonosynth import disk
from sonosynth.artefacts import Artefact, Split
from sonosynth.errors import UserError
from sonosynth.jobs import keyed
from sonosynth.run import Study, reopen
from sonosynth.synthesis.selector import DISOBEYS, RETRIES
from sonosynth.tasks import selecting
from sonosynth.tasks.segmentation import observers, segmenter

pytest.importorskip("monai")

MASKED = (
    "adapters={sd: null, sd+ti: null, mask: {lora: {}, control: mask}}", "control={steps: 2, batch: 2}",
    "sets={variation: null, masked: {from: noise, adapter: mask, condition: mask, count: {benign: 2, normal: 1}}}",
)  # fmt: skip
CHOSEN = (
    *MASKED,
    "sets.chosen={from: noise, adapter: mask, condition: mask, count: 1, obey: 0.99}",
    "arms={real+oversampling: null, real+masked: {sets: [masked]}}",
    "tasks=[segmentation]", "fidelity.measures=[features]", "classifier.seeds=[0]",
)  # fmt: skip


def test_what_is_seen_in_every_split_is_seen_by_three_segmenters_of_its_own(planned):
    jobs = planned(*MASKED, "repeats={folds: 2, generators: 2}")
    seen = [name for name in jobs if "obedience/" in name]
    assert seen == [
        "obedience/real", "obedience/masked", "repeats/1/obedience/masked", "repeats/2/obedience/real",
        "repeats/2/obedience/masked", "repeats/3/obedience/masked",
    ]  # fmt: skip
    assert [jobs[name].needs["observers"] for name in seen] == 3 * ["training/observers"] + 3 * [
        "repeats/2/training/observers"
    ]
    assert jobs["obedience"].needs["parts"] == tuple(seen) and not [name for name in jobs if "choosers" in name]
    first = planned(*MASKED, "repeats={folds: 2, generators: 2}", "fidelity.obedience=first")
    assert [name for name in first if "obedience/" in name] == seen[:2]
    assert not [name for name in planned() if "obe" in name or "observers" in name]


def test_those_that_choose_are_others_than_those_that_observe(planned):
    jobs = planned(*CHOSEN)
    chosen = jobs["synthetic/chosen"]
    assert chosen.run is selecting.make_selected and chosen.needs["choosers"] == "training/choosers"
    assert "critics" not in chosen.needs and jobs["obedience/chosen"].needs["observers"] == "training/observers"
    assert jobs["training/choosers"].run is jobs["training/observers"].run is observers.train_observers
    assert jobs["training/choosers"].settings.seed != jobs["training/observers"].settings.seed
    assert "obey" not in keyed(jobs["synthetic/masked"].settings)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("sets.masked.obey=0", r"sets\.masked\.obey: must be more than 0"),
        ("sets.plain={from: noise, adapter: mask, obey: 0.5}", "masks, keep and obey: only with condition: mask"),
        ("sets.still={from: masked, adapter: mask, condition: mask, obey: 0.5, strength: 0}", "strength 0"),
    ],
)
def test_what_can_not_be_chosen_is_refused(planned, change, mistake):
    with pytest.raises(UserError, match=mistake):
        planned(*MASKED, change)


def test_sets_with_a_condition_need_segmenters(planned, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="need MONAI"):
        planned(*MASKED)


@pytest.fixture(scope="module")
def finished(settings, phantoms, tmp_path_factory):
    root = tmp_path_factory.mktemp("obeying") / "run"
    with figures_of("obedience"):
        Study(phantoms, settings(*CHOSEN)).run(root, processes=False)
    return root


def test_a_whole_study_says_what_is_seen_and_counts_what_was_made_again(finished):
    table = pd.read_csv(finished / "evaluation" / "obedience.csv", keep_default_na=False, na_values=[""])
    split = Split(reopen_made(finished, "split"))
    assert sorted(table["image"][table["set"] == "real"]) == sorted(split.validation["id"])
    for name in ("masked", "chosen"):
        rows = pd.read_csv(finished / "synthetic" / name / "metadata.csv", keep_default_na=False)
        own = table[table["set"] == name]
        assert list(own["image"]) == list(rows["file_name"]) and list(own["usable"]) == list(rows["flaw"] == "")
        assert (own["dice"].isna() == (own["label"] == "normal")).all() and own["nothing"].between(0, 1).all()
    drawn = pd.read_csv(finished / "evaluation" / "selection.csv", keep_default_na=False)
    lesions = drawn[drawn["label"] != "normal"]
    assert set(drawn["set"]) == {"chosen"} and (lesions["reason"] == DISOBEYS).all()  # 0.99 after four steps
    assert lesions.groupby("file_name").size().eq(1 + RETRIES).all()
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert 'id="obedience"' in page and 'id="figure-obedience"' in page and 'id="selection"' in page
    assert "still misses its mask" in page and "a little too high" in page
    assert "The images of masked were made under their masks." in page
    pictures = pd.read_csv(finished / "figures" / "pictures.csv")
    assert set(pictures["set"][pictures["figure"] == "obedience"]) >= {"masked"}


def test_a_validation_image_in_what_chooses_fails_the_run(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "run")
    folds = Artefact(reopen_made(copy, "training/choosers")).json("about")
    split = Split(reopen_made(copy, "split"))
    assert set(folds["folds"]) == set(split.train["sha256"])
    folds["folds"][min(split.scored)] = 0
    disk.write_json(copy / ".parts" / "choosers.json", json.loads(json.dumps(folds)))
    sign(copy, "training/choosers")
    with pytest.raises(UserError, match="segmenters that observe: was made from 1 validation image"):
        reopen(copy).run(copy, "synthesize", change=True, processes=False)


def reopen_made(root, name):
    """What a job of the run made."""
    return {job.name: status.made for job, status in reopen(root).statuses(root)}[name]

"""A sealed part in a whole run: what knows of it, and what opens it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import figures_of, sign
from sonosynth import disk
from sonosynth.artefacts import CohortImages, Split
from sonosynth.errors import UserError
from sonosynth.run import Study, reopen
from sonosynth.unsealing import FILE, open_once

FEW = (
    "arms={real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+classical+sd+ti: null}",
    "adapters.sd+ti=null", "sets.sd+img2img=null", "classifier.seeds=[0]", "split.sealed=0.4",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """Pages without figures: they take most of the time, and show what is in the tables, or training images."""
    with figures_of():
        yield


@pytest.fixture(scope="module")
def sealed(settings, phantoms, tmp_path_factory) -> Path:
    """A finished run with a sealed part."""
    root = tmp_path_factory.mktemp("sealed") / "run"
    Study(phantoms, settings(*FEW)).run(root, processes=False)
    return root


@pytest.fixture
def copy(sealed, tmp_path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "run"))


def split_of(root):
    return Split({job.name: status.made for job, status in reopen(root).statuses(root)}["split"])


def test_nothing_that_is_shown_knows_it(sealed):
    split = split_of(sealed)
    ids = set(split.sealed["id"])
    assert len(ids) == 2 + 5 + 3
    for file in (sealed / "evaluation").glob("*.csv"):
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert not any(rows[name].isin(ids).any() for name in rows), file.name
    assert not list((sealed / "evaluation").glob("sealed*"))
    page = (sealed / "report.html").read_text()
    assert not any(name in page for name in ids)
    assert (
        reopen(sealed).sealed(sealed)
        == "40% of the images of each class, held out of all splits; sonosynth unseal scores them once"
    )
    assert "10 images, held out of all splits; sonosynth unseal scores them once" in page and 'id="sealed"' not in page
    assert set(json.loads((sealed / "adapters" / "sd" / "adapter.json").read_text())["images"]) == set(
        split.train["sha256"]
    )


def test_it_is_opened_once_with_one_set_of_settings(copy, settings, phantoms, answer, monkeypatch):
    before = (copy / "evaluation" / "predictions.csv").read_bytes()
    reopen(copy).unseal(copy, processes=False)
    found = pd.read_csv(copy / "evaluation" / "sealed.csv")
    assert list(found) == list(pd.read_csv(copy / "evaluation" / "predictions.csv"))
    assert set(found["id"]) == set(split_of(copy).sealed["id"])
    assert found.groupby("arm")["id"].nunique().to_dict() == {"real": 10, "real+sd": 10, "real+oversampling": 10}
    assert np.allclose(found.filter(like="p_").sum(axis=1), 1)
    verdicts = pd.read_csv(copy / "evaluation" / "sealed_verdicts.csv")
    assert list(verdicts) == list(pd.read_csv(copy / "evaluation" / "verdicts.csv"))
    assert set(verdicts["finding"]) == {"not enough runs"}
    assert (copy / "evaluation" / "predictions.csv").read_bytes() == before
    record = json.loads((copy / FILE).read_text())
    said = f"Sealed part: scored once, on {record['date']}, with these settings; 10 images; 1 look at the validation"
    page = (copy / "report.html").read_text()
    assert said in page and 'id="sealed"' in page

    reopen(copy).unseal(copy, processes=False)  # the same settings again: the same tables
    assert json.loads((copy / FILE).read_text()) == record
    pd.testing.assert_frame_equal(pd.read_csv(copy / "evaluation" / "sealed.csv"), found)

    other = Study(phantoms, settings(*FEW, "classifier.seeds=[1]"))
    other.run(copy, change=True, processes=False)
    page = (copy / "report.html").read_text()
    assert "spoiled" in page and 'id="sealed"' not in page
    assert not list((copy / "evaluation").glob("sealed*"))
    status, message = answer("unseal", copy)
    assert status == 2 and "was opened on" in message and "fix: " in message


def test_a_run_that_is_not_finished_or_has_no_such_part_stays_closed(copy, answer, settings):
    (copy / "evaluation" / "predictions.csv").unlink()
    status, message = answer("unseal", copy)
    assert status == 2 and "is not finished" in message and not (copy / FILE).exists()
    with pytest.raises(UserError, match="has no sealed part"):
        open_once(copy, settings())


@pytest.mark.parametrize("change", ["split.sealed=0.3", "seed=1"])
def test_nothing_is_sealed_once_it_was_seen(copy, settings, phantoms, change):
    with pytest.raises(UserError, match="has scored validation images without this sealed part"):
        Study(phantoms, settings(*FEW, change)).run(copy, change=True, processes=False)


@pytest.mark.parametrize("leaks", [False, True])
def test_no_training_may_know_a_sealed_image(sealed, leaks):
    split = split_of(sealed)
    forbidden, hidden = split.forbidden(leaks=leaks), set(split.sealed["sha256"])
    assert forbidden == hidden if leaks else forbidden == hidden | set(split.validation["sha256"]) == split.scored
    assert not hidden & set(split.used["sha256"]) and len(split.used) == 13


def test_a_sealed_image_in_a_leaking_adapter_fails_the_run(copy, settings, phantoms):
    leaking = Study(phantoms, settings(*FEW, "adapt.on=all"))
    leaking.run(copy, "adapt", change=True, processes=False)
    split, file = split_of(copy), copy / "adapters" / "sd" / "adapter.json"
    about = json.loads(file.read_text())
    assert set(about["images"]) == set(split.used["sha256"])
    disk.write_json(file, about | {"images": [*about["images"], split.sealed["sha256"].iloc[0]]})
    sign(copy, "adapters/sd")
    with pytest.raises(UserError, match="adapters/sd: was made from 1 validation image"):
        leaking.run(copy, "synthesize", change=True, processes=False)


def test_the_pixels_of_a_sealed_image_in_a_set_fail_the_run(copy):
    made = {job.name: status.made for job, status in reopen(copy).statuses(copy)}
    split, cohort, file = Split(made["split"]), CohortImages(made["cohort"]), copy / ".parts" / "pixels" / "sd.npy"
    pixels = np.load(file)
    pixels[0] = cohort.pixels[cohort.rows(split.sealed["id"])[0]]
    np.save(file, pixels)
    sign(copy, "synthetic/sd")
    with pytest.raises(UserError, match="is a validation image"):
        reopen(copy).run(copy, "evaluate", change=True, processes=False)

"""The controls of docs/declaring.md, all in one study: what they are made of, and what the firewall says."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import SMALL, sign
from sonosynth import disk, read_provenance
from sonosynth.artefacts import SyntheticSet
from sonosynth.bases import sd1
from sonosynth.bases.latents import reconstruct
from sonosynth.errors import UserError
from sonosynth.exporting import export
from sonosynth.phantom import write_cohort
from sonosynth.report.facts import Counts
from sonosynth.report.words import measured_on
from sonosynth.run import Study, reopen
from sonosynth.settings import load
from sonosynth.sharing import Reason
from studies import split_of

PAGE = (Path(__file__).parents[1] / "docs" / "declaring.md").read_text(encoding="utf-8")
FEWER = (
    "adapters.sd+ti=null", "sets={sd: null, sd+img2img: null}", "arms={real+oversampling: null}",
    "classifier.seeds=[0]", "classifier.epochs=2", "memorisation.drop=true", "fidelity.measures=[features]",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_base, tiny_classifier) -> Path:
    """A run of what the page declares, with 6 images of a class."""
    folder = tmp_path_factory.mktemp("controls")
    write_cohort(folder / "cohort", {"benign": 11, "malignant": 8, "normal": 7}, seed=4, size=32)
    (declared,) = re.findall(r"```yaml\n(# controls\.yaml\n.*?)```", PAGE, re.S)
    (folder / "controls.yaml").write_text(declared.replace("count: 100", "count: 6"))
    tiny = (f"base={tiny_base}", f"classifier.model={tiny_classifier}")
    settings = load("quick", [folder / "controls.yaml"], (*tiny, *SMALL, *FEWER))
    Study(folder / "cohort", settings).run(folder / "run", "evaluate", processes=False)
    return folder / "run"


def again(root):
    return reopen(root).run(root, "evaluate", change=True, processes=False)


def test_every_control_is_what_the_page_says(finished, tiny_base):
    split, cohort = split_of(finished)
    known = dict(zip(cohort.images["id"], cohort.pixels, strict=True))
    rows = {
        name: pd.read_csv(finished / "synthetic" / name / "metadata.csv", keep_default_na=False)
        for name in ("copies", "vae", "weak", "enough")
    }
    assert {name: set(found["negative_control"]) for name, found in rows.items()} == {
        "copies": {True}, "vae": {True}, "weak": {True}, "enough": {False},
    }  # fmt: skip
    assert list(rows["copies"]["source"]) == list(rows["vae"]["source"]) == list(rows["weak"]["source"])
    assert set(rows["copies"]["source"]) <= set(split.train["id"])
    starts = np.stack([known[name] for name in rows["copies"]["source"]])
    images = {
        name: np.stack([np.asarray(Image.open(finished / "synthetic" / name / file)) for file in found["file_name"]])
        for name, found in rows.items()
    }
    assert np.array_equal(images["copies"], starts)
    vae = sd1.load(tiny_base, torch.float32, "cpu", without=("unet", "text_encoder")).vae
    assert np.abs(images["vae"].astype(int) - reconstruct(vae, starts)).max() <= 1
    assert set(rows["vae"]["strength"]) == {0} and set(rows["vae"]["adapter"]) == {""}

    table = pd.read_csv(finished / "evaluation" / "table.csv", index_col="arm")["n_train"]
    assert table["real"] == table["real+trivial"] == len(split.train)
    assert table["real+copies"] == len(split.train) + 18  # though copies are left out of what is no control
    assert (
        table["enough"]
        == 18
        - pd.read_csv(finished / "evaluation" / "memorisation.csv").query("set == 'enough' and copy")["set"].count()
    )
    predictions = pd.read_csv(finished / "evaluation" / "predictions.csv")
    assert not predictions.groupby("arm")["p_benign"].apply(tuple).duplicated().any()
    parts = [json.loads(file.read_text()) for file in (finished / ".parts" / "predictions").rglob("*.json")]
    assert len({part["steps"] for part in parts}) == 1


def test_the_inner_side_chooses_the_epoch_and_nothing_else(finished):
    split, _ = split_of(finished)
    assert set(split.inner["label"]) == set(split.classes)
    inner = set(split.inner["sha256"])
    about = json.loads((finished / "adapters" / "sd" / "adapter.json").read_text())
    assert set(about["images"]) == set(split.train["sha256"]) and not inner & set(about["images"])
    for file in (finished / ".parts" / "origins").iterdir():
        origins = json.loads(file.read_text())
        assert not inner & set(origins["shared"]).union(*origins["own"], *origins["samples"])
    nearest = pd.read_csv(finished / "evaluation" / "memorisation.csv")["nearest"]
    assert set(nearest) <= set(split.train["id"])
    assert set(pd.read_csv(finished / "evaluation" / "predictions.csv")["id"]) == set(split.validation["id"])
    facts = next(job for job, _ in reopen(finished).statuses(finished) if job.name == "report").settings.facts
    counts = Counts(True, len(split.train), len(split.validation), 0, 0, 0, 0, {}, {}, len(inner))
    told = measured_on(facts, counts)
    sizes = (len(side) for side in (split.train, split.inner, split.validation))
    assert told["cohort"].endswith("{} training, {} inner and {} validation images".format(*sizes))
    assert "best epoch on the inner images" in told["classifier"]


def test_an_inner_image_in_an_adapter_fails_the_run(copy):
    split, _ = split_of(copy)
    file = copy / "adapters" / "sd" / "adapter.json"
    about = json.loads(file.read_text())
    disk.write_json(file, about | {"images": [*about["images"], split.inner["sha256"].iloc[0]]})
    sign(copy, "adapters/sd")
    with pytest.raises(UserError, match="adapters/sd: was made from 1 validation image"):
        again(copy)


def test_a_validation_image_behind_a_copy_fails_the_run(copy):
    file = copy / ".parts" / "origins" / "copies.json"
    about = json.loads(file.read_text())
    about["own"][2] = [split_of(copy)[0].validation["sha256"].iloc[0]]
    disk.write_json(file, about)
    sign(copy, "synthetic/copies")
    with pytest.raises(UserError, match=r"the arm real\+copies: was made from 1 validation image"):
        again(copy)


def test_the_pixels_of_an_inner_image_among_the_copies_fail_the_run(copy):
    split, cohort = split_of(copy)
    file = copy / ".parts" / "pixels" / "copies.npy"
    pixels = np.load(file)
    pixels[2] = cohort.pixels[cohort.rows(split.inner["id"])[0]]
    np.save(file, pixels)
    sign(copy, "synthetic/copies")
    with pytest.raises(UserError, match=r"copies/benign/00002\.png: is a validation image"):
        again(copy)


@pytest.mark.usefixtures("no_figures")
def test_an_arm_whose_set_lost_a_class_is_refused_and_the_others_go_on(copy):
    file = copy / "synthetic" / "enough" / "metadata.csv"
    rows = pd.read_csv(file, keep_default_na=False)
    rows.loc[rows["label"] == "normal", "flaw"] = "constant"
    rows.to_csv(file, index=False)
    sign(copy, "synthetic/enough")
    reopen(copy).run(copy, change=True, processes=False)
    verdicts = pd.read_csv(copy / "evaluation" / "verdicts.csv").groupby("arm").first()
    lost = "enough: refused, because a set that it adds has lost all usable images of a class (normal in enough)."
    assert verdicts.loc["enough", "finding"] == "refused" and verdicts.loc["enough", "sentence"] == lost
    assert (verdicts["finding"].drop("enough") != "refused").all()
    assert set(pd.read_csv(copy / "evaluation" / "table.csv")["status"]) == {"run"}
    assert lost in (copy / "report.html").read_text(encoding="utf-8")


def test_controls_are_exported_by_force_alone_and_copies_are_not_called_synthetic(finished, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    rows = {name: finished / "synthetic" / name for name in ("copies", "vae", "weak", "enough")}
    said = {name: read_provenance(next(folder.rglob("*.png"))) for name, folder in rows.items()}
    assert {name: one.synthetic for name, one in said.items()} == {
        "copies": False, "vae": True, "weak": True, "enough": said["enough"].synthetic,
    }  # fmt: skip
    assert said["copies"].real and said["vae"].real and said["weak"].real
    assert {name: SyntheticSet(made).real for name, made in sets_of(finished).items()} == {
        name: one.real for name, one in said.items()
    }
    export(finished, "dicom", tmp_path / "out", force=True)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for name in ("copies", "vae", "weak"):
        image = pydicom.dcmread(next((tmp_path / "out" / name).rglob("*.dcm")))
        assert f"Exported by force: {Reason.CONTROL}. Exported by force: {Reason.REAL}" in image.DerivationDescription
        assert f"`{name}` was exported by force" in card
        assert image.SyntheticData == ("NO" if name == "copies" else "YES") and "BurnedInAnnotation" not in image
    try:
        export(finished, "dicom", tmp_path / "few")
    except UserError as error:
        assert f"set copies: {Reason.CONTROL}" in str(error) and not (tmp_path / "few").exists()
    else:
        assert [path.name for path in (tmp_path / "few").iterdir() if path.is_dir()] == ["enough"]


def sets_of(root):
    made = {job.name: status.made for job, status in reopen(root).statuses(root)}
    return {name: made[f"synthetic/{name}"] for name in ("copies", "vae", "weak", "enough")}

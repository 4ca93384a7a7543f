"""The job that trains diagnostic encoders, and what an adapter makes of them."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from sonosynth.adapters import diagnostic, encoders, jobs
from sonosynth.adapters.diagnostic import Encoders
from sonosynth.adapters.settings import Adapt, Lora
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.bases import sd1
from sonosynth.errors import UserError
from sonosynth.jobs import Made

N = 12  # training images of each of two classes, two of each patient


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(diagnostic, "SCHEDULE", replace(diagnostic.SCHEDULE, steps=30, batch=8))


def made(job, **places):
    return Made(job, places, {}, "", 0, 0)


@pytest.fixture
def given(tmp_path):
    """Training images, and one each on the other sides, of two classes that their latents show."""
    sides = ["train"] * 2 * N + ["validation", "inner", "sealed"]
    table = pd.DataFrame({"id": [f"{i:02d}" for i in range(len(sides))], "split": sides, "excluded": "", "mask": ""})
    table["sha256"], table["file"] = "sha " + table["id"], table["id"]
    table["label"] = ["benign" if i % 2 else "malignant" for i in range(len(sides))]
    table["group"] = [f"patient {i // 4} {i % 2}" if side == "train" else "" for i, side in enumerate(sides)]
    table.to_csv(tmp_path / "split.csv", index=False)
    table.assign(pixels=table["sha256"], mode="L").to_csv(tmp_path / "images.csv", index=False)
    mean = torch.randn(2 * len(sides), 4, 8, 8, generator=torch.Generator().manual_seed(0))
    mean[:, 0] += torch.tensor([2.0 * (label == "malignant") - 1 for label in table["label"]]).repeat(2)[:, None, None]
    save_file({"mean": mean, "deviation": torch.zeros_like(mean)}, tmp_path / "latents.safetensors")
    return {
        "cohort": CohortImages(made("cohort", images=tmp_path / "images.csv")),
        "split": Split(made("split", table=tmp_path / "split.csv")),
        "latents": Artefact(made("latents", latents=tmp_path / "latents.safetensors")),
    }


def learned(given, place, *, leaks=False):
    place.mkdir()
    encoders.learn(encoders.EncoderLearning(0, leaks), **given, work=place)
    return Artefact(made("encoders", encoders=place / "encoders", about=place / "about"))


def test_encoders_are_trained_on_training_images_alone_and_keep_patients_together(given, tmp_path):
    found = learned(given, tmp_path / "work")
    about, train = found.json("about"), given["split"].train
    assert about["images"] == sorted(train["sha256"])
    assert about["classes"] == ["benign", "malignant"]
    assert about["accuracy"] > 0.9 and about["f1"] > 0.9
    read = Encoders.load(found.place("encoders"))
    assert read.labels.tolist() == [about["classes"].index(label) for label in train["label"]]
    folds = pd.Series(read.folds.numpy(), index=train.index)
    assert (folds.groupby(train["group"]).nunique() == 1).all() and set(folds) == {0, 1, 2}


def test_encoders_of_a_generator_that_sees_all_images_see_all_but_the_sealed(given, tmp_path):
    found = learned(given, tmp_path / "work", leaks=True)
    assert found.json("about")["images"] == sorted(set(given["split"].rows["sha256"]) - {"sha 26"})


def test_a_scored_image_among_the_training_images_and_too_few_groups_are_refused(given, tmp_path):
    place = given["split"].place("table")
    rows = pd.read_csv(place, dtype=str, keep_default_na=False)
    rows.loc[rows["split"] == "validation", "sha256"] = "sha 00"  # the same image on both sides
    rows.to_csv(place, index=False)
    leaking = given | {"split": Split(given["split"].made)}
    with pytest.raises(UserError, match="the images that the diagnostic encoders would be trained on: was made from 1"):
        learned(leaking, tmp_path / "leak")
    rows["sha256"] = "sha " + rows["id"]
    rows.loc[(rows["split"] == "train") & (rows["label"] == "benign"), "group"] = "one patient"
    rows.to_csv(place, index=False)
    with pytest.raises(UserError, match=r"lora.diagnostic: 1 group.s. of benign for 3 folds(.|\n)*lora.diagnostic=0"):
        learned(given | {"split": Split(given["split"].made)}, tmp_path / "few")


def test_an_adapter_has_the_origins_of_its_encoders_and_refuses_those_of_scored_images(given, tmp_path, tiny_base):
    found = learned(given, tmp_path / "encoders")
    prompts = dict.fromkeys(("benign", "malignant"), "ultrasound image of a breast lesion")
    shared = jobs.Learning(sd1.resolve(str(tiny_base)), "fp32", prompts, 0, Adapt())
    settings = jobs.AdapterLearning(shared, Lora(rank=2, steps=1, batch=2, layers="attention", diagnostic=0.1))
    work = tmp_path / "work"
    work.mkdir()
    jobs.learn(settings, **given, encoders=found, work=work)
    about = json.loads((work / "adapter" / "adapter.json").read_text())
    assert about["images"] == sorted(given["split"].train["sha256"])
    planted = found.json("about") | {"images": ["sha 24"]}
    found.place("about").write_text(json.dumps(planted))
    with pytest.raises(UserError, match="the diagnostic encoders of encoders: was made from 1 validation image"):
        jobs.learn(settings, **given, encoders=found, work=work)

"""The whole study on a tiny base: its files, what a change runs again, the firewall, and the command line."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import SMALL, sign
from sonosynth import cli, disk, machine, study_file
from sonosynth import settings as loading
from sonosynth.artefacts import CohortImages, Split
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.phantom import write_cohort
from sonosynth.run import Study, reopen

SETS = ("sd", "sd+img2img", "sd+ti", "sd+ti+img2img")
ARMS = ("real", *(f"real+{name}" for name in SETS), "real+oversampling", "real+classical+sd+ti")


@pytest.fixture
def copy(finished, tmp_path, no_figures) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def run(study, root, command="report"):
    """Run a study in this process; the names of the jobs that were not done before."""
    before = {job.name for job, status in study.statuses(root) if status.state is State.DONE}
    return set(study.run(root, command, change=True, processes=False)) - before


def again(root, command="report"):
    return run(reopen(root), root, command)


def snapshot(root):
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def decisive(root):
    """The contrasts with real images by macro F1, by arm."""
    rows = pd.read_csv(root / "evaluation" / "verdicts.csv")
    return rows[(rows["metric"] == "f1") & (rows["against"] == "real") & rows["class"].isna()].set_index("arm")


def test_a_run_holds_what_the_design_says(finished):
    for model in ("sd", "sd+ti"):
        folder = finished / "adapters" / model
        assert (folder / "pytorch_lora_weights.safetensors").is_file()
        assert (folder / "learned_embeds.safetensors").is_file() == (model == "sd+ti")
        losses = pd.read_csv(folder / "losses.csv")
        assert losses["loss"].notna().all()
        assert list(losses["part"].unique()) == (["token", "lora"] if model == "sd+ti" else ["lora"])
    for name in SETS:
        rows = pd.read_csv(finished / "synthetic" / name / "metadata.csv")
        assert rows["label"].value_counts().to_dict() == {"normal": 4, "malignant": 3}
        assert all((finished / "synthetic" / name / file).is_file() for file in rows["file_name"])
        assert rows["prompt"].str.endswith("<ultrasound>").all() == ("ti" in name)
        if "img2img" in name:
            assert all((finished / "synthetic" / file).is_file() for file in rows["source"])
    predictions = pd.read_csv(finished / "evaluation" / "predictions.csv")
    assert len(predictions) == len(ARMS) * 2 * 6
    assert np.allclose(predictions[["p_benign", "p_malignant", "p_normal"]].sum(axis=1), 1)
    table = pd.read_csv(finished / "evaluation" / "table.csv")
    assert list(table["arm"]) == list(ARMS)
    assert list(table["n_train"]) == [17, 24, 24, 24, 24, 17, 24]
    fidelity = pd.read_csv(finished / "evaluation" / "fidelity.csv")
    assert list(fidelity["set"].unique()) == list(SETS)
    assert set(fidelity["class"].fillna("")) == {"", "benign", "malignant", "normal"}
    assert set(fidelity["features"]) == {"embedded", "ultrasound"}
    assert set(fidelity["protocol"]) == {
        "training images", "across classes", "real or synthetic", "trained on real", "scripts' mix",
    }  # fmt: skip
    everything = fidelity[fidelity["class"].isna() & (fidelity["protocol"] == "training images")]
    of_few = everything[everything["metric"].isin(["frechet", "kernel", "vendi", "spectrum", "attenuation"])]
    assert everything["value"].notna().all() and of_few["floor"].notna().all()
    assert set(everything["n_matched"]) == {3} and set(everything["classes"]) == {'["malignant", "normal"]'}
    copies = pd.read_csv(finished / "evaluation" / "memorisation.csv")
    assert copies["set"].value_counts().to_dict() == {"real validation": 6, **dict.fromkeys(SETS, 7)}
    verdicts = decisive(finished)
    assert list(verdicts.index) == list(ARMS[1:])
    assert set(verdicts["finding"]) == {"not enough runs"}
    assert Image.open(finished / "figures" / "grid.png").size[0] > 500
    page = (finished / "report.html").read_text()
    assert "real+sd+ti+img2img" in page
    assert "not an FID" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    values = yaml.safe_load((finished / "study.yaml").read_text())
    assert values["lora"]["rank"] == 2
    assert values["resolved"]["versions"]["torch"]


def test_the_same_study_again_does_no_work(finished, settings, phantoms):
    before = snapshot(finished)
    assert run(Study(phantoms, settings()), finished) == set()
    after = snapshot(finished)
    assert {k: v for k, v in after.items() if k != "study.yaml"} == {
        k: v for k, v in before.items() if k != "study.yaml"
    }


def classifiers(*arms):
    return {f"classifiers/{arm}/{seed}" for arm in arms for seed in (0, 1)}


def test_a_changed_setting_runs_again_what_depends_on_it(copy, settings, phantoms):
    before = snapshot(copy)
    ran = run(Study(phantoms, settings("refine.strength=0.5")), copy)
    changed = {name for name, time in snapshot(copy).items() if before.get(name) != time}
    assert not any(name.startswith("adapters/") or name.startswith("synthetic/sd/") for name in changed)
    assert any(name.startswith("synthetic/sd+img2img/") for name in changed)
    refined = ("real+sd+img2img", "real+sd+ti+img2img")
    assert "<dd>2 (the number of different settings" in (copy / "report.html").read_text()
    assert {name for name in ran if name.startswith(("classifiers", "synthetic", "adapters"))} == {
        *classifiers(*refined), "synthetic/sd+img2img", "synthetic/sd+ti+img2img",
    }  # fmt: skip


def test_a_new_set_an_arm_or_a_seed_costs_itself_and_what_depends_on_it(copy, settings, phantoms):
    further = ("sets.again={from: sd+img2img, adapter: sd}", "arms.real+again={sets: [again]}")
    ran = run(Study(phantoms, settings(*further)), copy)
    of_all = {"fidelity", "images/ultrasound", "memorisation", "predictions", "tables", "report"}
    new = {
        "synthetic/again",
        "copies/again",
        "fidelity/again",
        *(f"measures/{m}/again" for m in ("features", "ultrasound")),
    }
    assert ran == new | of_all | classifiers("real+again")
    ran = run(Study(phantoms, settings(*further, "classifier.seeds=[0, 1, 2]")), copy)
    assert {name for name in ran if name.startswith("classifiers/")} == {
        f"classifiers/{arm}/2" for arm in (*ARMS, "real+again")
    }


def test_a_further_feature_network_costs_its_descriptions_and_the_comparisons(
    copy, settings, phantoms, tmp_path, monkeypatch
):
    (tmp_path / "levels_elsewhere.py").write_text("def levels(images):\n    return images.mean(axis=2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    ran = run(Study(phantoms, settings("fidelity.features=[embedded, 'levels_elsewhere:levels']")), copy, "evaluate")
    described = {f"measures/features-2/{name}" for name in ("real", *SETS)}
    assert ran == described | {f"fidelity/{name}" for name in SETS} | {"fidelity"}
    fidelity = pd.read_csv(copy / "evaluation" / "fidelity.csv")
    assert list(fidelity["features"].unique()) == ["embedded", "levels_elsewhere:levels", "ultrasound"]
    metrics = {name: set(rows["metric"]) for name, rows in fidelity.groupby("features")}
    assert metrics["embedded"] == metrics["levels_elsewhere:levels"]
    del sys.modules["levels_elsewhere"]


def test_the_size_of_batches_in_sampling_changes_nothing(copy, settings, phantoms):
    assert run(Study(phantoms, settings("synthesis.batch=3")), copy) == {"report"}  # it prints the settings


def test_every_arm_takes_as_many_steps_whatever_arms_there_are(copy, settings, phantoms):
    more = ("classifier={steps: null, epochs: 1}", "arms.real+both={sets: [sd, sd+ti]}", "arms.real+sd+img2img=null")
    run(Study(phantoms, settings(*more)), copy, "evaluate")
    parts = [json.loads(file.read_text()) for file in (copy / ".parts" / "predictions").rglob("*.json")]
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    steps = {part["steps"] for part in parts if part["arm"] in table.index}
    assert steps == {3}  # 24 images after the balance plan, in batches of 8
    assert table.loc["real+both", "n_train"] == 17 + 7 + 7
    assert table.loc["real+sd", "n_train"] == 17 + 7


def test_the_table_is_rebuilt_from_the_predictions(copy):
    file = copy / "evaluation" / "predictions.csv"
    predictions = pd.read_csv(file)
    arm = predictions["arm"] == "real+sd"
    before = pd.read_csv(copy / "evaluation" / "table.csv")
    for label in ("benign", "malignant", "normal"):
        predictions.loc[arm, f"p_{label}"] = (predictions.loc[arm, "label"] == label).astype(float)
    predictions.to_csv(file, index=False)
    with pytest.raises(UserError, match=r"predictions\.csv: is not what the job predictions wrote"):
        again(copy)
    sign(copy, "predictions")
    assert again(copy) == {"tables", "report"}
    after = pd.read_csv(copy / "evaluation" / "table.csv")
    assert after.set_index("arm").loc["real+sd", "accuracy"] == 1
    assert after[after["arm"] != "real+sd"].equals(before[before["arm"] != "real+sd"])


@pytest.mark.parametrize(
    "name", ["cohort.csv", "synthetic/sd/metadata.csv", "figures/pictures.csv", "adapters/sd/losses.csv"]
)
def test_a_missing_file_is_made_again_and_an_altered_one_refused(copy, name):
    before = disk.sha256(copy / name)
    (copy / name).unlink()
    assert again(copy)
    assert disk.sha256(copy / name) == before
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"is not what the job .* wrote") as refused:
        again(copy)
    assert str(copy / name) in str(refused.value)
    assert "fix: " in str(refused.value)


def split_of(root):
    """The split and the images of a finished run."""
    made = {job.name: status.made for job, status in reopen(root).statuses(root)}
    return Split(made["split"]), CohortImages(made["cohort"])


def test_a_validation_image_in_an_adapter_fails_the_run(copy):
    leaked = min(split_of(copy)[0].scored)
    file = copy / "adapters" / "sd" / "adapter.json"
    about = json.loads(file.read_text())
    assert leaked not in about["images"]
    disk.write_json(file, about | {"images": [*about["images"], leaked]})
    sign(copy, "adapters/sd")
    for command in ("synthesize", "evaluate"):
        with pytest.raises(UserError, match="adapters/sd: was made from 1 validation image"):
            again(copy, command)


def test_a_validation_image_in_a_learned_token_fails_the_run(copy):
    leaked = min(split_of(copy)[0].scored)
    file = next((copy / ".parts" / "tokens").glob("*.json"))
    about = json.loads(file.read_text())
    disk.write_json(file, about | {"images": [*about["images"], leaked]})
    sign(copy, f"tokens/{file.stem}")
    with pytest.raises(UserError, match=r"the token of tokens/\w+: was made from 1 validation image"):
        again(copy, "adapt")


def test_a_validation_image_among_the_training_images_fails_the_run(copy):
    """The hash of a row of the cohort's images says that they are a validation image's."""
    split, _ = split_of(copy)
    file = copy / ".parts" / "images.csv"
    rows = pd.read_csv(file, keep_default_na=False, dtype=str)
    rows.loc[rows["id"] == split.train["id"].iloc[0], "sha256"] = split.validation["sha256"].iloc[0]
    rows.to_csv(file, index=False)
    sign(copy, "cohort")
    with pytest.raises(UserError, match="was made from 1 validation image"):
        again(copy, "adapt")


def test_a_validation_image_in_a_synthetic_set_fails_the_run(copy):
    split, _ = split_of(copy)
    victim = reopen(copy).path / split.validation["file"].iloc[0]
    shutil.copy(victim, copy / "synthetic" / "sd" / "normal" / "00000.png")
    sign(copy, "synthetic/sd")
    with pytest.raises(UserError, match="synthetic/sd: was made from 1 validation image"):
        again(copy, "evaluate")


def replace_images(root, name, images):
    """Put `images` in the place of a set's first ones, picture and pixels, and sign them."""
    folder, pixels = root / "synthetic" / name, root / ".parts" / "pixels" / f"{name}.npy"
    known = np.load(pixels)
    for i, (file, image) in enumerate(zip(pd.read_csv(folder / "metadata.csv")["file_name"], images, strict=False)):
        Image.fromarray(image).save(folder / file)
        known[i] = image
    np.save(pixels, known)
    sign(root, f"synthetic/{name}")


def pixels_of(root, side):
    split, cohort = split_of(root)
    return np.array(cohort.pixels[cohort.rows(getattr(split, side)["id"])])


def test_the_pixels_of_a_validation_image_in_a_synthetic_set_fail_the_run(copy):
    replace_images(copy, "sd", [pixels_of(copy, "validation")[0]])
    with pytest.raises(UserError, match=r"malignant/00000\.png: is a validation image"):
        again(copy, "evaluate")


def test_a_validation_image_behind_a_synthetic_set_fails_the_run(copy):
    split, _ = split_of(copy)
    file = copy / ".parts" / "origins" / "sd+ti.json"
    about = json.loads(file.read_text())
    assert sorted(about["shared"]) == sorted(split.train["sha256"])
    disk.write_json(file, about | {"shared": [*about["shared"], min(split.scored)]})
    sign(copy, "synthetic/sd+ti")
    with pytest.raises(UserError, match=r"was made from 1 validation image"):
        again(copy, "evaluate")


def test_a_validation_image_behind_one_image_of_a_set_fails_the_run(copy, settings, phantoms):
    varied = ("sets.varied={from: real, adapter: sd, strength: 0.3, count: 2}", "arms.real+varied={sets: [varied]}")
    study = Study(phantoms, settings(*varied))
    run(study, copy)
    rows = pd.read_csv(copy / "synthetic" / "varied" / "metadata.csv")
    split, _ = split_of(copy)
    file = copy / ".parts" / "origins" / "varied.json"
    about = json.loads(file.read_text())
    hashes = split.train.set_index("id")["sha256"]
    assert about["own"] == [[hashes[source]] for source in rows["source"]]
    about["own"][3].append(min(split.scored))
    disk.write_json(file, about)
    sign(copy, "synthetic/varied")
    with pytest.raises(UserError, match="was made from 1 validation image"):
        run(study, copy, "evaluate")
    # ... unless that image is not trained on: choosing rows chooses their origins.
    table = pd.read_csv(copy / "synthetic" / "varied" / "metadata.csv", keep_default_na=False)
    table.loc[3, "flaw"] = "constant"
    table.to_csv(copy / "synthetic" / "varied" / "metadata.csv", index=False)
    sign(copy, "synthetic/varied")
    run(study, copy, "evaluate")


def test_the_leak_of_the_original_scripts_is_labelled(tmp_path, settings, phantoms):
    root = tmp_path / "run"
    run(Study(phantoms, settings("adapt.on=all", "classifier.seeds=[0]")), root)
    about = json.loads((root / "adapters" / "sd" / "adapter.json").read_text())
    assert len(about["images"]) == 23
    verdicts = decisive(root)
    synthetic = verdicts[verdicts.index.str.contains("sd")]
    assert set(synthetic["finding"]) == {"refused"}
    assert synthetic["sentence"].str.contains("has seen the scored images").all()
    assert synthetic[["difference", "p"]].isna().all(axis=None)
    assert verdicts.loc["real+oversampling", "finding"] != "refused"
    assert "no score is evidence" in (root / "report.html").read_text()


def test_a_generator_that_copies_is_refused(copy):
    replace_images(copy, "sd", np.flip(pixels_of(copy, "train")[:7], axis=2))
    again(copy, "evaluate")
    verdicts = decisive(copy)
    assert verdicts.loc["real+sd", "finding"] == "refused"
    assert "some of its images are training images (100%)" in verdicts.loc["real+sd", "sentence"]


def test_a_validation_image_with_a_near_duplicate_in_training_is_not_scored(copy, settings, phantoms):
    rows = pd.read_csv(copy / "cohort.csv")
    pair = rows[rows["label"] == "benign"].drop_duplicates("split")["id"]
    file = copy / "twins.csv"
    pd.DataFrame([pair.to_list()], columns=["id", "twin"]).reindex(columns=pd.read_csv(file).columns).to_csv(file)
    sign(copy, "cohort")
    run(Study(phantoms, settings("split.groups=none", "classifier.seeds=[0]")), copy)
    assert set(pd.read_csv(copy / "evaluation" / "table.csv")["n_validation"]) == {5}
    assert len(pd.read_csv(copy / "evaluation" / "predictions.csv")["id"].unique()) == 6
    page = (copy / "report.html").read_text()
    assert "1 pairs, 1 across the split; 1 validation images are left out of all scores" in page


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


def as_table(cohort, path, header, row):
    """Write a cohort as the CSV `path`: a line for each image, which `row` makes from its file and its number."""
    images = [file for file in sorted(cohort.rglob("*.png")) if "_mask" not in file.stem]
    for file in images:
        shutil.copy(file, path.parent / file.name)
    path.write_text("\n".join([header, *(row(file, number) for number, file in enumerate(images, 1))]))


def test_a_csv_and_labels_with_a_dollar_make_a_study_too(tmp_path, settings, phantoms):
    as_table(phantoms, tmp_path / "c.csv", "file,label", lambda file, _: f"{file.name},$_{file.parent.name}$")
    arms = ", ".join(f"{name}: null" for name in ARMS[2:])
    run(Study(tmp_path / "c.csv", settings(f"arms={{{arms}}}", "classifier.seeds=[0]")), tmp_path / "run")
    assert "$_benign$" in (tmp_path / "run" / "report.html").read_text()


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


FEW = "arms={real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+classical+sd+ti: null}"


def test_folds_are_repeats_of_the_study(tmp_path, settings, cohort_folder):
    root = tmp_path / "run"
    run(Study(cohort_folder, settings(FEW, "adapters.sd+ti=null", "classifier.seeds=[0]", "repeats.folds=3")), root)
    predictions = pd.read_csv(root / "evaluation" / "predictions.csv")
    real = predictions[predictions["arm"] == "real"]
    assert sorted(real["split"].unique()) == [0, 1, 2] and real["generator"].isna().all()
    assert len(real) == real["id"].nunique() == 23
    made = predictions[predictions["arm"] == "real+sd"]
    assert (made["generator"] == made["split"]).all() and set(predictions["draw"]) == {0}
    for place in (root, root / "repeats" / "1", root / "repeats" / "2"):
        about = json.loads((place / "adapters" / "sd" / "adapter.json").read_text())
        table = pd.read_csv(place / "cohort.csv", keep_default_na=False)
        assert not set(about["images"]) & set(table["sha256"][table["split"] == "validation"])
    assert "1 x 3 grouped folds" in (root / "report.html").read_text()


def test_generators_share_what_does_not_depend_on_them(tmp_path, settings, phantoms):
    small = settings(FEW, "adapters.sd+ti=null", "classifier.seeds=[0]", "repeats.generators=2")
    names = [job.name for job, _ in Study(phantoms, small).statuses()]
    assert {name for name in names if "latents" in name or name.startswith("repeats/1/classifiers")} == {
        "latents", "repeats/1/classifiers/real+sd/0",
    }  # fmt: skip
    run(Study(phantoms, small), tmp_path / "run", "evaluate")
    one, other = (
        pd.read_csv(place / "synthetic" / "sd" / "metadata.csv")
        for place in (tmp_path / "run", tmp_path / "run/repeats/1")
    )
    assert not set(one["seed"]) & set(other["seed"])
    assert (tmp_path / "run" / "cohort.csv").read_bytes() == (tmp_path / "run/repeats/1/cohort.csv").read_bytes()


def test_the_epoch_is_chosen_on_images_held_back_if_there_are_enough(copy, settings, phantoms):
    with pytest.raises(UserError, match=r"classifier\.selection=inner, or .*: .* 4 group\(s\) of normal for 5 folds"):
        run(Study(phantoms, settings("classifier.selection=inner")), copy, "evaluate")


def test_another_base_adapts_anew(copy, settings, phantoms, tiny_base, tmp_path):
    other = shutil.copytree(tiny_base, tmp_path / "elsewhere" / "base")
    moved = Study(phantoms, settings(f"base={other}"))
    assert run(moved, copy) == {"report"}  # the same base at another path: the report prints where it lies
    (other / "vae" / "README.md").write_text("another base")
    changed = {job.name: status for job, status in moved.statuses(copy)}
    assert changed["adapters/sd"].state is State.STALE
    assert changed["adapters/sd"].reason == "settings.learning.base.digest changed"
    assert changed["synthetic/sd"].state is State.STALE
    assert changed["copies/sd"].state is State.WAITING


def test_the_generator_sees_training_images_only(finished):
    table = pd.read_csv(finished / "cohort.csv", keep_default_na=False)
    for name in ("sd", "sd+ti"):
        about = json.loads((finished / "adapters" / name / "adapter.json").read_text())
        assert sorted(about["images"]) == sorted(table[table["split"] == "train"]["sha256"])


def test_sets_that_nobody_has_seen_before(tmp_path, settings, phantoms):
    """Declared in a file alone: three refinements deep, from two adapters, from real images, of the base as it is."""
    declared = {
        "adapters": {"short": {"lora": {"steps": 1}}, "word": {"token": "<word>"}},
        "sets": {
            "again": {"from": "sd+img2img", "adapter": "sd", "strength": 0.5},
            "thrice": {"from": "again", "adapter": "short", "count": {"normal": 2}},
            "varied": {"from": "real", "adapter": "word", "strength": 0.3, "count": 3},
            "plain": {"from": "noise", "count": {"benign": 2}, "synthesis": {"steps": 2}},
        },
        "arms": {"real+thrice+varied": {"sets": ["thrice", "varied"]}, "real+mixup": {"mixup": 0.2}},
    }  # fmt: skip
    (tmp_path / "declared.yaml").write_text(yaml.safe_dump(declared))
    changes = yaml.safe_dump(declared, default_flow_style=True)
    small = settings(
        *(f"{group}={yaml.safe_dump(declared[group], default_flow_style=True, width=9999)}" for group in declared)
    )
    assert changes
    root = tmp_path / "run"
    run(Study(phantoms, small), root)
    rows = {
        name: pd.read_csv(root / "synthetic" / name / "metadata.csv", keep_default_na=False)
        for name in declared["sets"]
    }
    assert Counter(rows["again"]["label"]) == {"normal": 4, "malignant": 3}
    assert list(rows["thrice"]["source"]) == ["again/normal/00000.png", "again/normal/00001.png"]
    assert Counter(rows["varied"]["label"]) == {"benign": 3, "malignant": 3, "normal": 3}
    assert rows["varied"]["prompt"].str.endswith("<word>").all()
    assert (rows["plain"]["adapter"] == "").all() and set(rows["plain"]["steps"]) == {2}
    train = pd.read_csv(root / "cohort.csv", keep_default_na=False).query("split == 'train'")
    assert set(rows["varied"]["source"]) <= set(train["id"])
    assert (
        dict(zip(rows["varied"]["source"], rows["varied"]["label"], strict=True)).items()
        <= dict(zip(train["id"], train["label"], strict=True)).items()
    )
    seeds = [seed for name in ("again", "thrice", "varied") for seed in rows[name]["seed"]]
    first = pd.read_csv(root / "synthetic" / "sd+img2img" / "metadata.csv")
    assert not set(seeds[:9]) & set(first["seed"])  # another depth, other noise
    assert (root / "adapters" / "word" / "learned_embeds.safetensors").is_file()
    assert not (root / "adapters" / "word" / "pytorch_lora_weights.safetensors").exists()
    table = pd.read_csv(root / "evaluation" / "table.csv").set_index("arm")
    assert table.loc["real+thrice+varied", "n_train"] == 17 + 2 + 9
    assert {"again", "thrice", "varied", "plain"} <= set(pd.read_csv(root / "evaluation" / "fidelity.csv")["set"])
    page = (root / "report.html").read_text()
    assert "real+thrice+varied" in page
    origins = json.loads((root / ".parts" / "origins" / "plain.json").read_text())
    assert origins["shared"] == [] and not any(origins["own"])
    origins = json.loads((root / ".parts" / "origins" / "thrice.json").read_text())
    assert sorted(origins["shared"]) == sorted(train["sha256"])


def test_a_set_made_from_leaking_images_leaks(tmp_path, settings, phantoms):
    again = ("sets.again={from: sd}", "arms.real+again={sets: [again]}")
    leaks = settings(FEW, "adapters.sd+ti=null", "adapt={on: all}", "classifier.seeds=[0]", *again)
    run(Study(phantoms, leaks), tmp_path / "run", "evaluate")
    verdicts = pd.read_csv(tmp_path / "run" / "evaluation" / "verdicts.csv").set_index("arm")
    assert verdicts.loc["real+again", "finding"] == "refused"


def test_settings_of_a_run_make_the_same_study_again(tmp_path, settings, phantoms):
    changed = settings("adapters.sd+ti.lora=null", "sets.sd.adapter=null", "adapters.small={lora: {rank: 1}}")
    (tmp_path / "study.yaml").write_text(study_file.text_of(phantoms, changed, machine.resolve(changed)))
    same = loading.load("paper", [tmp_path / "study.yaml"])
    assert same == changed
    names, others = ([job.name for job, _ in Study(phantoms, x).statuses()] for x in (same, changed))
    assert names == others
    fewer = loading.load("quick", [tmp_path / "study.yaml"], ["sets.sd=null"])
    assert set(fewer.declared_sets) == {"sd+ti", "sd+ti+img2img"}


def test_a_study_without_adapters_and_sets_compares_the_baselines(tmp_path, settings, phantoms):
    plain = settings("adapters={sd: null, sd+ti: null}", "sets={sd: null, sd+ti: null}", "classifier.seeds=[0]")
    run(Study(phantoms, plain), tmp_path / "run")
    assert set(pd.read_csv(tmp_path / "run" / "evaluation" / "table.csv")["arm"]) == {"real", "real+oversampling"}
    assert "No arm adds synthetic images." in (tmp_path / "run" / "report.html").read_text()


def test_one_patient_alone_flags_no_copies(tmp_path, settings, phantoms):
    def row(file, number):
        return f"{file.name},{file.parent.name},patient {number % 5 == 0}"

    as_table(phantoms, tmp_path / "c.csv", "file,label,group", row)
    few = (FEW, "adapters.sd+ti=null", "classifier.seeds=[0]")
    run(Study(tmp_path / "c.csv", settings(*few)), tmp_path / "run", "evaluate")
    assert not pd.read_csv(tmp_path / "run" / "evaluation" / "memorisation.csv")["copy"].any()


def test_a_set_takes_no_more_images_than_its_source_has(tmp_path, settings, phantoms):
    small = settings("sets.more={from: sd, adapter: sd, count: 50}")
    said = r"sets\.more\.count: 50 of benign\nexpected: at most 0, as many usable ones as sd has"
    with pytest.raises(UserError, match=said):
        run(Study(phantoms, small), tmp_path / "run", "synthesize")


def test_no_file_is_hashed_and_no_picture_decoded_twice_in_a_command(tmp_path, settings, phantoms, monkeypatch):
    hashed, decoded = Counter(), Counter()
    real_digest, real_open = disk.hashlib.file_digest, Image.open

    def file_digest(file, kind):
        hashed[file.name] += 1
        return real_digest(file, kind)

    def opened(source, **more):
        if "_mask" not in str(source):
            decoded[str(source)] += 1
        return real_open(source, **more)

    monkeypatch.setattr(disk.hashlib, "file_digest", file_digest)
    monkeypatch.setattr(Image, "open", opened)
    for changes, opened_once in (((), 1), ((), 0), (["refine.strength=0.5"], 0)):
        hashed.clear()
        decoded.clear()
        study = Study(phantoms, settings(FEW, "adapters.sd+ti=null", "classifier.seeds=[0]", *changes))
        study.run(tmp_path / "run", change=bool(changes), processes=False)
        assert max(hashed.values()) == 1, hashed.most_common(3)
        pictures = {name: n for name, n in decoded.items() if "figures" not in name and ".work" not in name}
        assert max(pictures.values(), default=0) <= opened_once, decoded.most_common(3)


def command(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, arguments)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nothing", "--out", "OUT"), "nothing: does not exist"),
        (("run", "COHORT", "--out", "OUT", "--preset", "fast"), "--preset fast"),
        (("run", "COHORT", "--out", "OUT", "--set", "lora.rnk=3"), "lora.rnk: there is no such setting"),
        (("run", "COHORT", "--out", "OUT", "--base", "./none"), "base ./none"),
        (("run", "COHORT", "--out", "OUT", "--set", "resolution=100"), "resolution: 100"),
        (("run", "COHORT", "--out", "OUT", "--set", "prompts.labels.cat=a cat"), "the cohort has no label cat"),
        (("run", "COHORT", "--out", "OUT", "--set", "sets.x={from: y}"), "sets.x: needs sets.y, which is not declared"),
        (("run", "COHORT", "--out", "OUT", "--config", "no-such-file"), "no-such-file"),
        (("run", "COHORT", "--out", "COHORT"), "exists and is not a run folder"),
        (("adapt", "OUT"), "is not a run folder (study.yaml is missing)"),
        (("plan", "nothing"), "nothing: does not exist"),
        (("inspect", "nothing"), "does not exist"),
        (("phantoms", "--out", "OUT", "--count", "benign"), "--count benign"),
        (("phantoms", "--out", "OUT", "--count", f"benign={10**30}"), "--count benign=1"),
        (("run", "COHORT", "--out", "/proc/run"), "--out /proc/run: can't be created"),
        (("fly",), "No such command"),
    ],
)
def test_bad_input_gets_one_message_and_status_2(tmp_path, cohort_folder, arguments, message, answer):
    places = {"OUT": tmp_path / "out", "COHORT": cohort_folder}
    before = snapshot(cohort_folder)
    status, said = answer(*(places.get(a, a) for a in arguments))
    assert status == 2, said
    assert message in said
    assert not (tmp_path / "out").exists()
    assert snapshot(cohort_folder) == before


def test_commands_of_the_stages_and_inspect(copy, cohort_folder, monkeypatch, capsys):
    def here(*arguments):
        """What a command prints that runs in this process."""
        monkeypatch.setattr(sys, "argv", ["sonosynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    monkeypatch.setattr("sonosynth.runners.workers.start", lambda: None)  # for jobs that are done
    shutil.rmtree(copy / "figures")
    planned = json.loads(here("plan", copy, "--json"))
    assert {row["state"] for row in planned} == {"done", "missing"}
    assert [row["reason"] for row in planned if row["name"] == "report"] == ["figures/across.pdf is gone"]
    for name in ("adapt", "synthesize", "evaluate"):
        here(name, copy)
    result = command("report", copy)
    assert result.returncode == 0, result.stderr
    assert "real+sd+ti+img2img" in result.stdout
    assert (copy / "figures" / "grid.png").is_file()
    assert json.loads(here("inspect", cohort_folder, "--json"))["classes"] == {
        "benign": 11,
        "malignant": 7,
        "normal": 5,
    }
    assert "malignant" in here("inspect", cohort_folder)


def test_an_interrupted_command_exits_with_130_and_goes_on(tmp_path, cohort_folder, tiny_base, tiny_classifier):
    fewer = ("adapters.sd+ti=null", "sets.sd.count=3", "sets.sd+img2img=null", "arms.real+sd={sets: [sd]}")
    changes = (*SMALL, *fewer, "classifier.seeds=[0]", f"classifier.model={tiny_classifier}")
    small = [part for change in changes for part in ("--set", change)]
    long = [*small, "--set", "lora.steps=100000"]
    arguments = ["run", cohort_folder, "--out", tmp_path / "run", "--base", tiny_base]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, [*arguments, *long])],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any((tmp_path / "run" / ".work").glob("adapters,sd-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130, message
    assert "run the same command again to resume" in message
    assert "Traceback" not in message
    assert not (tmp_path / "run" / "adapters").exists()
    assert command(*arguments, *small).returncode == 2  # two settings were changed
    assert command(*arguments, *small, "--change").returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()


def contents(root):
    """The digests of all files but those that record how long jobs took."""
    timed = ("report.html", ".parts/summary.txt", ".jobs/")
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    return {name: disk.sha256(file) for name, file in files.items() if not name.startswith(timed)}


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path, phantoms, tiny_base, tiny_classifier):
    changes = (
        *SMALL,
        "adapters.sd=null",
        "sets.sd+ti.count=3",
        "sets.variation=null",
        "classifier.seeds=[0]",
        f"classifier.model={tiny_classifier}",
        "lora.steps=80",
        "token.steps=80",
        "synthesis.batch=4",
    )
    arguments = ["run", phantoms, "--base", tiny_base, *(part for change in changes for part in ("--set", change))]

    def process(out):
        line = [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, [*arguments, "--out", out])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    whole, killed = process(tmp_path / "whole"), tmp_path / "killed"
    assert whole.wait() == 0, whole.stderr.read()
    moments = ["training token", "training LoRA", "making sd", "measuring"]
    for number, moment in zip(itertools.cycle((signal.SIGKILL, signal.SIGTERM)), moments, strict=False):
        other = process(killed)
        for line in other.stderr:
            if line.startswith(moment):
                break
        time.sleep(0.3)
        other.send_signal(number)
        other.stderr.read()
        assert other.wait() in (-signal.SIGKILL, 130)
    last = process(killed)
    assert last.wait() == 0, last.stderr.read()
    assert contents(killed) == contents(tmp_path / "whole")


def test_help_imports_nothing_heavy():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from sonosynth.cli import main; main()", "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0
    assert "demo" in result.stdout
    for module in ("torch", "pandas", "matplotlib", "diffusers", "pydantic"):
        assert f"| {module}\n" not in result.stderr

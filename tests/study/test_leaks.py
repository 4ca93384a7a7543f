"""A validation image that gets into an adapter, a token or a set ends the run."""

import json
import shutil

import pandas as pd
import pytest

from conftest import sign
from sonosynth import disk
from sonosynth.errors import UserError
from sonosynth.run import Study, reopen
from studies import FEW, again, decisive, pixels_of, replace_images, run, split_of

pytestmark = pytest.mark.usefixtures("no_figures")


def test_the_generator_sees_training_images_only(finished):
    table = pd.read_csv(finished / "cohort.csv", keep_default_na=False)
    for name in ("sd", "sd+ti"):
        about = json.loads((finished / "adapters" / name / "adapter.json").read_text())
        assert sorted(about["images"]) == sorted(table[table["split"] == "train"]["sha256"])


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


def test_a_set_made_from_leaking_images_leaks(tmp_path, settings, phantoms):
    again = ("sets.again={from: sd}", "arms.real+again={sets: [again]}")
    leaks = settings(FEW, "adapters.sd+ti=null", "adapt={on: all}", "classifier.seeds=[0]", *again)
    run(Study(phantoms, leaks), tmp_path / "run", "evaluate")
    verdicts = pd.read_csv(tmp_path / "run" / "evaluation" / "verdicts.csv").set_index("arm")
    assert verdicts.loc["real+again", "finding"] == "refused"


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

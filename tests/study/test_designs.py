"""Folds, generators, cohorts and declarations of many kinds, each a whole study."""

import json
from collections import Counter

import pandas as pd
import pytest
import yaml

from sonosynth.errors import UserError
from sonosynth.run import Study
from studies import ARMS, FEW, as_table, run

pytestmark = pytest.mark.usefixtures("no_figures")


def test_every_arm_takes_as_many_steps_whatever_arms_there_are(copy, settings, phantoms):
    more = ("classifier={steps: null, epochs: 1}", "arms.real+both={sets: [sd, sd+ti]}", "arms.real+sd+img2img=null")
    run(Study(phantoms, settings(*more)), copy, "evaluate")
    parts = [json.loads(file.read_text()) for file in (copy / ".parts" / "predictions").rglob("*.json")]
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    steps = {part["steps"] for part in parts if part["arm"] in table.index}
    assert steps == {3}  # 24 images after the balance plan, in batches of 8
    assert table.loc["real+both", "n_train"] == 17 + 7 + 7
    assert table.loc["real+sd", "n_train"] == 17 + 7


def test_a_csv_and_labels_with_a_dollar_make_a_study_too(tmp_path, settings, phantoms):
    as_table(phantoms, tmp_path / "c.csv", "file,label", lambda file, _: f"{file.name},$_{file.parent.name}$")
    arms = ", ".join(f"{name}: null" for name in ARMS[2:])
    run(Study(tmp_path / "c.csv", settings(f"arms={{{arms}}}", "classifier.seeds=[0]")), tmp_path / "run")
    assert "$_benign$" in (tmp_path / "run" / "report.html").read_text()


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


def test_a_study_without_adapters_and_sets_compares_the_baselines(tmp_path, settings, phantoms):
    plain = settings("adapters={sd: null, sd+ti: null}", "sets={sd: null, sd+ti: null}", "classifier.seeds=[0]")
    run(Study(phantoms, plain), tmp_path / "run")
    assert set(pd.read_csv(tmp_path / "run" / "evaluation" / "table.csv")["arm"]) == {"real", "real+oversampling"}
    assert "No arm adds synthetic images." in (tmp_path / "run" / "report.html").read_text()


def test_a_set_takes_no_more_images_than_its_source_has(tmp_path, settings, phantoms):
    small = settings("sets.more={from: sd, adapter: sd, count: 50}")
    said = r"sets\.more\.count: 50 of benign\nexpected: at most 0, as many usable ones as sd has"
    with pytest.raises(UserError, match=said):
        run(Study(phantoms, small), tmp_path / "run", "synthesize")

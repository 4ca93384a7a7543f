"""The files of a run, and what a change runs again."""

import shutil
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import sign
from sonosynth import disk, machine, study_file
from sonosynth import settings as loading
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.run import Study
from studies import ARMS, FEW, SETS, again, decisive, run, snapshot

pytestmark = pytest.mark.usefixtures("no_figures")


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


def test_settings_of_a_run_make_the_same_study_again(tmp_path, settings, phantoms):
    changed = settings("adapters.sd+ti.lora=null", "sets.sd.adapter=null", "adapters.small={lora: {rank: 1}}")
    (tmp_path / "study.yaml").write_text(study_file.text_of(phantoms, changed, machine.resolve(changed)))
    same, other = (loading.load(preset, [tmp_path / "study.yaml"]) for preset in ("paper", "sound"))
    assert same == other == changed  # whatever sets and arms the preset has
    names, others = ([job.name for job, _ in Study(phantoms, x).statuses()] for x in (same, changed))
    assert names == others
    fewer = loading.load("quick", [tmp_path / "study.yaml"], ["sets.sd=null"])
    assert set(fewer.declared_sets) == {"sd+ti", "sd+ti+img2img"}


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

"""The whole study on a tiny base: its files, resuming, the firewall, and the command line."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from conftest import SMALL
from sonosynth import store
from sonosynth.config import SETS
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.stages import evaluate
from sonosynth.study import Study

ARMS = ("real", *(f"real+{name}" for name in SETS), "real+oversampling", "real+classical+sd+ti")


@pytest.fixture(autouse=True)
def _trained_here(trained_in_this_process):
    pass


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def snapshot(root):
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


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
    assert set(fidelity["class"]) == {"all", "benign", "malignant", "normal"}
    assert set(fidelity["features"]) == {"embedded", "ultrasound"}
    assert set(fidelity["protocol"]) == {"training images", "scripts' mix"}
    everything = fidelity[(fidelity["class"] == "all") & (fidelity["protocol"] == "training images")]
    assert everything["value"].notna().all() and everything["floor"].notna().all()
    assert set(everything["n_matched"]) == {6}
    copies = pd.read_csv(finished / "evaluation" / "memorisation.csv")
    assert copies["set"].value_counts().to_dict() == {"real validation": 6, **dict.fromkeys(SETS, 7)}
    verdicts = pd.read_csv(finished / "evaluation" / "verdicts.csv")
    assert list(verdicts["arm"]) == list(ARMS[1:])
    assert Image.open(finished / "figures" / "grid.png").size[0] > 500
    page = (finished / "report.html").read_text()
    assert "real+sd+ti+img2img" in page
    assert "not an FID" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    values = yaml.safe_load((finished / "study.yaml").read_text())
    assert values["lora"]["rank"] == 2
    assert values["resolved"]["versions"]["torch"]


def test_the_same_study_again_does_no_work(finished, settings, phantoms, monkeypatch):
    before = snapshot(finished)

    def no_work(*args, **kwargs):
        raise AssertionError("work was done again")

    monkeypatch.setattr("sonosynth.diffusion.training.train", no_work)
    monkeypatch.setattr("sonosynth.evaluation.classifier.predict", no_work)
    Study(phantoms, finished, settings()).everything()
    after = snapshot(finished)
    assert {k: v for k, v in after.items() if k != "study.yaml"} == {
        k: v for k, v in before.items() if k != "study.yaml"
    }


def test_a_changed_setting_reruns_what_depends_on_it(copy, settings, phantoms):
    before = snapshot(copy)
    Study(phantoms, copy, settings("refine.strength=0.5")).everything()
    changed = {name for name, time in snapshot(copy).items() if before.get(name) != time}
    assert not any(name.startswith("adapters/") or name.startswith("synthetic/sd/") for name in changed)
    assert any(name.startswith("synthetic/sd+img2img/") for name in changed)
    redone = {name for name in changed if name.startswith(".parts/predictions/")}
    assert redone == {f".parts/predictions/real+{s}+img2img/{seed}.csv" for s in ("sd", "sd+ti") for seed in (0, 1)}


def test_every_arm_takes_as_many_steps(copy):
    steps = {json.loads(file.read_text())["inputs"]["steps"] for file in (copy / ".stages").glob("classify-*.json")}
    assert steps == {3}  # 24 images in batches of 8


def test_the_table_is_rebuilt_from_the_predictions(copy):
    file = copy / "evaluation" / "predictions.csv"
    predictions = pd.read_csv(file)
    arm = predictions["arm"] == "real+sd"
    before = pd.read_csv(copy / "evaluation" / "table.csv")
    for label in ("benign", "malignant", "normal"):
        predictions.loc[arm, f"p_{label}"] = (predictions.loc[arm, "label"] == label).astype(float)
    predictions.to_csv(file, index=False)
    Study.reopen(copy).report()
    after = pd.read_csv(copy / "evaluation" / "table.csv")
    assert after.set_index("arm").loc["real+sd", "accuracy"] == 1
    assert after[after["arm"] != "real+sd"].equals(before[before["arm"] != "real+sd"])


def test_a_validation_image_in_an_adapter_fails_the_run(copy):
    table = pd.read_csv(copy / "cohort.csv", keep_default_na=False)
    leaked = table[table["split"] == "validation"]["sha256"].iloc[0]
    file = copy / "adapters" / "sd" / "adapter.json"
    about = json.loads(file.read_text())
    assert leaked not in about["images"]
    store.write_json(file, about | {"images": [*about["images"], leaked]})
    for stage in ("synthesize", "evaluate"):
        with pytest.raises(UserError, match="was made from 1 validation image"):
            getattr(Study.reopen(copy), stage)()


def test_a_validation_image_in_a_synthetic_set_fails_the_run(copy):
    table = pd.read_csv(copy / "cohort.csv", keep_default_na=False)
    study = Study.reopen(copy)
    victim = study.path / table[table["split"] == "validation"]["file"].iloc[0]
    shutil.copy(victim, copy / "synthetic" / "sd" / "normal" / "00000.png")
    with pytest.raises(UserError, match="synthetic/sd: was made from 1 validation image"):
        study.evaluate()


def test_the_pixels_of_a_validation_image_in_a_synthetic_set_fail_the_run(copy):
    study = Study.reopen(copy)
    Image.fromarray(study.first.images(study.first.rows("validation"))[0]).save(
        copy / "synthetic" / "sd" / "normal" / "00000.png"
    )
    with pytest.raises(UserError, match=r"normal/00000\.png: is a validation image"):
        study.evaluate()


def test_a_validation_image_behind_a_synthetic_set_fails_the_run(copy):
    table = pd.read_csv(copy / "cohort.csv", keep_default_na=False)
    file = copy / "synthetic" / "sd+ti" / "provenance.json"
    about = json.loads(file.read_text())
    assert about["plan"] == {"benign": 0, "malignant": 3, "normal": 4}
    assert sorted(about["images"]) == sorted(table[table["split"] == "train"]["sha256"])
    leaked = table[table["split"] == "validation"]["sha256"].iloc[0]
    store.write_json(file, about | {"images": [*about["images"], leaked]})
    with pytest.raises(UserError, match=r"synthetic/sd\+ti: was made from 1 validation image"):
        Study.reopen(copy).evaluate()


def test_the_leak_of_the_original_scripts_is_labelled(tmp_path, settings, phantoms):
    root = tmp_path / "run"
    Study(phantoms, root, settings("adapt.on=all", "classifier.seeds=[0]")).everything()
    about = json.loads((root / "adapters" / "sd" / "adapter.json").read_text())
    assert len(about["images"]) == 23
    verdicts = pd.read_csv(root / "evaluation" / "verdicts.csv").set_index("arm")
    synthetic = verdicts[verdicts.index.str.contains("sd")]
    assert set(synthetic["finding"]) == {"refused"}
    assert synthetic["sentence"].str.contains("has seen the validation images").all()
    assert verdicts.loc["real+oversampling", "finding"] != "refused"
    assert "no score is evidence" in (root / "report.html").read_text()


def replace_set(run, name, images):
    """Put `images` in the place of a set's own."""
    folder = run / "synthetic" / name
    for file, image in zip(pd.read_csv(folder / "metadata.csv")["file_name"], images, strict=True):
        Image.fromarray(image).save(folder / file)


def test_a_generator_that_copies_is_refused(copy):
    repeat = Study.reopen(copy).first
    train = repeat.images(repeat.rows("train"))
    replace_set(copy, "sd", np.flip(train[:7], axis=2))
    Study.reopen(copy).evaluate()
    verdicts = pd.read_csv(copy / "evaluation" / "verdicts.csv").set_index("arm")
    assert verdicts.loc["real+sd", "finding"] == "refused"
    assert "100% of its images copy a training image" in verdicts.loc["real+sd", "sentence"]


def test_held_out_real_images_are_at_the_floor(copy, tmp_path):
    write_cohort(tmp_path / "others", {"benign": 1, "malignant": 3, "normal": 4}, seed=9, size=32)
    files = sorted(p for p in (tmp_path / "others").glob("[mn]*/*") if "_mask" not in p.stem)
    replace_set(copy, "sd", [np.asarray(Image.open(file)) for file in files])
    Study.reopen(copy).evaluate()
    fidelity = pd.read_csv(copy / "evaluation" / "fidelity.csv")
    row = fidelity[(fidelity["metric"] == "frechet") & (fidelity["class"] == "all") & fidelity["floor"].notna()]
    row = row.set_index("set")
    assert row.loc["sd", "matched"] < 2 * row.loc["sd", "floor"]
    assert row.loc["sd", "matched"] < row.loc["sd+ti", "matched"]
    assert pd.read_csv(copy / "evaluation" / "verdicts.csv").set_index("arm").loc["real+sd", "finding"] != "improves"


def test_copies_can_be_left_out(copy, settings, phantoms):
    repeat = Study.reopen(copy).first
    train = repeat.images(repeat.rows("train"))
    own = [np.asarray(Image.open(file)) for file in sorted((copy / "synthetic" / "sd").glob("*/*.png"))]
    replace_set(copy, "sd", [*train[:3], *own[3:]])
    study = Study.reopen(copy)
    study.settings = settings("memorisation.drop=true")
    study.evaluate()
    copies = pd.read_csv(copy / "evaluation" / "memorisation.csv")
    flagged = int(copies[copies["set"] == "sd"]["copy"].sum())
    assert flagged >= 3
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    assert table.loc["real+sd", "n_train"] == 24 - flagged


def test_a_csv_and_labels_with_a_dollar_make_a_study_too(tmp_path, settings, phantoms):
    lines = ["file,label"]
    for file in sorted(phantoms.rglob("*.png")):
        if "_mask" not in file.stem:
            shutil.copy(file, tmp_path / file.name)
            lines.append(f"{file.name},$_{file.parent.name}$")
    (tmp_path / "c.csv").write_text("\n".join(lines))
    arms = ", ".join(f"{name}: null" for name in (*ARMS[2:], "real+classical+sd", "real+weights", "real+mixup"))
    small = settings(f"arms={{{arms}, real+classical+oversampling: null}}", "classifier.seeds=[0]")
    Study(tmp_path / "c.csv", tmp_path / "run", small).everything()
    assert "$_benign$" in (tmp_path / "run" / "report.html").read_text()


def test_flawed_images_are_not_trained_on(copy):
    file = copy / "synthetic" / "sd" / "metadata.csv"
    rows = pd.read_csv(file, keep_default_na=False)
    rows.loc[:2, "flaw"] = "constant"
    rows.to_csv(file, index=False)
    evaluate.tables(Study.reopen(copy).first, [Study.reopen(copy).first])
    table = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm")
    assert table.loc["real+sd", "n_train"] == table.loc["real+sd+ti", "n_train"] - 3


def test_an_arm_without_predictions_is_not_run(copy):
    file = copy / "evaluation" / "predictions.csv"
    predictions = pd.read_csv(file)
    predictions[predictions["arm"] != "real+oversampling"].to_csv(file, index=False)
    Study.reopen(copy).report()
    row = pd.read_csv(copy / "evaluation" / "table.csv").set_index("arm").loc["real+oversampling"]
    assert row["status"] == "not run"
    assert row.drop("status").isna().all()
    assert "not run" in (copy / "report.html").read_text()


def test_folds_and_generators_are_repeats_of_the_study(tmp_path, settings, cohort_folder):
    root = tmp_path / "run"
    arms = "arms={real+sd+img2img: null, real+sd+ti: null, real+sd+ti+img2img: null, real+classical+sd+ti: null}"
    few = (arms, "classifier.seeds=[0]", "repeats.folds=3")
    study = Study(cohort_folder, root, settings(*few))
    study.everything()
    predictions = pd.read_csv(root / "evaluation" / "predictions.csv")
    real = predictions[predictions["arm"] == "real"]
    assert sorted(real["repeat"].unique()) == [0, 1, 2]
    assert len(real) == real["id"].nunique() == 23
    for repeat in study.repeats:
        about = json.loads((repeat.run.root / "adapters" / "sd" / "adapter.json").read_text())
        assert not set(about["images"]) & set(repeat.rows("validation")["sha256"])
    assert "nadeau-bengio" in set(pd.read_csv(root / "evaluation" / "differences.csv")["test"])
    assert "1 x 3 grouped folds" in (root / "report.html").read_text()


def test_the_epoch_may_be_chosen_on_images_held_back(copy, settings, phantoms, tmp_path):
    study = Study(phantoms, copy, settings("classifier.selection=inner"))
    with pytest.raises(UserError, match=r"classifier\.selection=inner: .* 4 group\(s\) of normal for 5 folds"):
        study.evaluate()
    write_cohort(tmp_path / "cohort", {"benign": 11, "malignant": 8, "normal": 7}, seed=4, size=32)
    changes = ("classifier.selection=inner", "classifier.epochs=2", "classifier.seeds=[0]")
    Study(tmp_path / "cohort", tmp_path / "run", settings(*changes)).everything()
    assert "best epoch on a fifth of the training images" in (tmp_path / "run" / "report.html").read_text()


def test_a_set_of_another_adapter_is_refused(copy):
    (copy / "adapters" / "sd" / "losses.csv").write_text("part,step,loss\n")
    with pytest.raises(UserError, match="was not made with adapters/sd as it is now"):
        Study.reopen(copy).evaluate()


def test_the_generator_sees_training_images_only(finished):
    table = pd.read_csv(finished / "cohort.csv", keep_default_na=False)
    for model in ("sd", "sd+ti"):
        about = json.loads((finished / "adapters" / model / "adapter.json").read_text())
        assert sorted(about["images"]) == sorted(table[table["split"] == "train"]["sha256"])


def test_refinement_from_latents_runs(copy, settings, phantoms):
    Study(phantoms, copy, settings("refine.from=latent")).synthesize()
    rows = pd.read_csv(copy / "synthetic" / "sd+img2img" / "metadata.csv")
    assert set(rows["refined_from"]) == {"latent"}


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
        (("run", "COHORT", "--out", "OUT", "--set", "prompts.cat=a cat"), "cat is no label of the cohort"),
        (("run", "COHORT", "--out", "COHORT"), "exists and is no run"),
        (("adapt", "OUT"), "is no run"),
        (("inspect", "nothing"), "does not exist"),
        (("phantoms", "--out", "OUT", "--count", "benign"), "--count benign"),
        (("fly",), "No such command"),
    ],
)
def test_bad_input_gets_one_message_and_status_2(tmp_path, cohort_folder, arguments, message):
    places = {"OUT": tmp_path / "out", "COHORT": cohort_folder}
    before = snapshot(cohort_folder)
    result = command(*(places.get(a, a) for a in arguments))
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    assert snapshot(cohort_folder) == before


def test_commands_of_the_stages_and_inspect(copy, cohort_folder):
    shutil.rmtree(copy / "figures")
    for name in ("adapt", "synthesize", "evaluate", "report"):
        result = command(name, copy)
        assert result.returncode == 0, result.stderr
    assert "real+sd+ti+img2img" in result.stdout
    assert (copy / "figures" / "grid.png").is_file()
    result = command("inspect", cohort_folder, "--json")
    assert json.loads(result.stdout)["classes"] == {"benign": 11, "malignant": 7, "normal": 5}
    assert "malignant" in command("inspect", cohort_folder).stdout


def test_an_interrupted_command_exits_with_130_and_goes_on(tmp_path, cohort_folder, tiny_base, tiny_classifier):
    small = [part for change in (*SMALL, f"classifier.model={tiny_classifier}") for part in ("--set", change)]
    long = [*small, "--set", "lora.steps=100000"]
    arguments = ["run", cohort_folder, "--out", tmp_path / "run", "--base", tiny_base]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, [*arguments, *long])],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any((tmp_path / "run" / ".work").glob("adapt-sd-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "the same command goes on from here" in message
    assert "Traceback" not in message
    assert not (tmp_path / "run" / "adapters").exists()
    assert command(*arguments, *small).returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()


def contents(root):
    """Of all files but those that tell the stages' times."""
    told = ("report.html", ".stages/")
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    return {name: store.sha256(file) for name, file in files.items() if not name.startswith(told)}


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(tmp_path, phantoms, tiny_base, tiny_classifier):
    changes = (*SMALL, f"classifier.model={tiny_classifier}", "lora.steps=80", "token.steps=80", "synthesis.batch=4")
    arguments = ["run", phantoms, "--base", tiny_base, *(part for change in changes for part in ("--set", change))]

    def process(out):
        line = [sys.executable, "-c", "from sonosynth.cli import main; main()", *map(str, [*arguments, "--out", out])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    whole, killed = process(tmp_path / "whole"), tmp_path / "killed"
    assert whole.wait() == 0, whole.stderr.read()
    moments = ["training token", "training LoRA", "making sd", "making sd+ti", "training classifiers", "measuring"]
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

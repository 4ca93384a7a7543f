"""The whole study on a tiny base: its files, resuming, the firewall, and the command line."""

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

from sonosynth import config, store
from sonosynth.errors import UserError
from sonosynth.study import ARMS, SETS, Study

SMALL = (
    "resolution=32", "token.steps=2", "token.batch=2", "lora.steps=2", "lora.batch=2", "lora.rank=2",
    "synthesis.steps=4", "classifier.epochs=1", "classifier.resolution=32", "classifier.seeds=[0, 1]",
    "classifier.batch=8", "fidelity.features=embedded", "precision=fp32",
)  # fmt: skip


def settings(base, *changes):
    return config.load("quick", None, (f"base={base}", *SMALL, *changes))


@pytest.fixture(scope="module")
def finished(tiny_base, phantoms, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs") / "run"
    Study(phantoms, root, settings(tiny_base)).everything()
    return root


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
    assert list(table["n_train"]) == [17, 24, 24, 24, 24]
    fidelity = pd.read_csv(finished / "evaluation" / "fidelity.csv")
    assert list(fidelity["set"]) == ["real validation", *SETS]
    assert set(fidelity["features"]) == {"embedded"}
    assert Image.open(finished / "figures" / "grid.png").size[0] > 500
    page = (finished / "report.html").read_text()
    assert "real+sd+ti+img2img" in page
    assert "not an FID" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    values = yaml.safe_load((finished / "study.yaml").read_text())
    assert values["lora"]["rank"] == 2
    assert values["resolved"]["versions"]["torch"]


def test_the_same_study_again_does_no_work(finished, tiny_base, phantoms, monkeypatch):
    before = snapshot(finished)

    def no_work(*args, **kwargs):
        raise AssertionError("work was done again")

    monkeypatch.setattr("sonosynth.diffusion.training.train", no_work)
    monkeypatch.setattr("sonosynth.evaluation.classifier.predict", no_work)
    Study(phantoms, finished, settings(tiny_base)).everything()
    after = snapshot(finished)
    assert {k: v for k, v in after.items() if k != "study.yaml"} == {
        k: v for k, v in before.items() if k != "study.yaml"
    }


def test_a_changed_setting_reruns_what_depends_on_it(copy, tiny_base, phantoms):
    before = snapshot(copy)
    Study(phantoms, copy, settings(tiny_base, "refine.strength=0.5")).everything()
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


def test_a_set_of_another_adapter_is_refused(copy):
    (copy / "adapters" / "sd" / "losses.csv").write_text("part,step,loss\n")
    with pytest.raises(UserError, match="was not made with adapters/sd as it is now"):
        Study.reopen(copy).evaluate()


def test_the_generator_sees_training_images_only(finished):
    table = pd.read_csv(finished / "cohort.csv", keep_default_na=False)
    for model in ("sd", "sd+ti"):
        about = json.loads((finished / "adapters" / model / "adapter.json").read_text())
        assert sorted(about["images"]) == sorted(table[table["split"] == "train"]["sha256"])


def test_refinement_from_latents_runs(copy, tiny_base, phantoms):
    Study(phantoms, copy, settings(tiny_base, "refine.from=latent")).synthesize()
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


def test_an_interrupted_command_exits_with_130_and_goes_on(tmp_path, cohort_folder, tiny_base):
    small = [part for change in SMALL for part in ("--set", change)]
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


def test_help_imports_nothing_heavy():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from sonosynth.cli import main; main()", "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0
    assert "demo" in result.stdout
    for module in ("torch", "pandas", "matplotlib", "diffusers", "pydantic"):
        assert f"| {module}\n" not in result.stderr

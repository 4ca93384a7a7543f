"""A study with a U-Net that is trained from scratch, in one table with the adapted base: the graph, and a run of it."""

import json
import shutil

import pandas as pd
import pytest

from conftest import figures_of, sign
from sonosynth import disk
from sonosynth.adapters import jobs as adaptation
from sonosynth.artefacts import Split
from sonosynth.errors import UserError
from sonosynth.run import Study, reopen

SCRATCH = (
    "adapters.scratch={unet: {batch: 3}}", "sets.scratch={from: noise, adapter: scratch}",
    "arms.real+scratch={sets: [scratch]}",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(settings, phantoms, tmp_path_factory):
    few = ("adapters.sd+ti=null", "sets.sd+img2img=null", "classifier.seeds=[0]", "fidelity.measures=[features]")
    arms = "arms={real+oversampling: null, real+classical+sd: null}"
    root = tmp_path_factory.mktemp("unets") / "run"
    with figures_of("training"):
        Study(phantoms, settings(*SCRATCH, *few, arms)).run(root, processes=False)
    return root


def test_a_unet_is_a_job_of_its_own_and_leaves_every_other_as_it_is(planned):
    plain, jobs = planned(), planned(*SCRATCH)
    job = jobs["adapters/scratch"]
    assert job.run is adaptation.learn_unet and job.makes == {"adapter": "adapters/scratch"}
    assert job.needs == {"cohort": "cohort", "split": "split", "latents": "latents"}
    assert (job.settings.unet.batch, job.settings.unet.steps, job.settings.effort.amount) == (3, 2, 2)
    assert job.settings.learning == jobs["adapters/sd"].settings.learning
    assert jobs["synthetic/scratch"].needs["adapter"] == "adapters/scratch"
    assert all(jobs[name].settings == plain[name].settings for name in plain if name.startswith(("adap", "synth")))


def test_probes_choose_the_steps_of_loras_alone(planned):
    jobs = planned(*SCRATCH, "adapt.stop=probe")
    assert "choice" in jobs["adapters/sd"].needs and "choice" not in jobs["adapters/scratch"].needs
    assert not [name for name in jobs if "prob" in name and "scratch" in name]
    said = "for the set scratch.*\n.*an adapter with a LoRA"
    with pytest.raises(UserError, match=said):
        planned(*SCRATCH, "adapt.stop=probe", "synthesis.guidance=auto")


def test_images_by_a_unet_from_scratch_stand_in_the_table_and_its_training_in_the_report(finished):
    folder = finished / "adapters" / "scratch"
    about, beside = (json.loads((finished / "adapters" / x / "adapter.json").read_text()) for x in ("scratch", "sd"))
    assert about["unet"] is True and about["images"] == beside["images"]
    assert (folder / "unet" / "config.json").is_file()
    assert not (folder / "pytorch_lora_weights.safetensors").exists()
    assert list(pd.read_csv(folder / "losses.csv")["part"]) == ["unet", "unet"]
    made, others = (pd.read_csv(finished / "synthetic" / name / "metadata.csv") for name in ("scratch", "sd"))
    assert len(made) == len(others) and list(made["seed"]) == list(others["seed"])
    assert not {disk.sha256(p) for p in (finished / "synthetic" / "scratch").rglob("*.png")} & {
        disk.sha256(p) for p in (finished / "synthetic" / "sd").rglob("*.png")
    }
    assert {"real+sd", "real+scratch"} <= set(pd.read_csv(finished / "evaluation" / "table.csv")["arm"])
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "as a full U-Net with the base" in page and "from random weights" in page


def test_a_validation_image_in_a_unet_fails_the_run(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "run")
    made = {job.name: status.made for job, status in reopen(copy).statuses(copy)}
    file = copy / "adapters" / "scratch" / "adapter.json"
    about = json.loads(file.read_text())
    disk.write_json(file, about | {"images": [*about["images"], min(Split(made["split"]).scored)]})
    sign(copy, "adapters/scratch")
    with pytest.raises(UserError, match="adapters/scratch: was made from 1 validation image"):
        reopen(copy).run(copy, "synthesize", change=True, processes=False)

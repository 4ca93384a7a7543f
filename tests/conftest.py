import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each: two in each of two processes slow each other tenfold
    os.environ["OMP_NUM_THREADS"] = "1"

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from sonosynth import cli, progress
from sonosynth import settings as loading
from sonosynth.cohort.reading import list_files
from sonosynth.disk import sha256
from sonosynth.exporting import _Finished
from sonosynth.jobs import Made
from sonosynth.machine import resolve
from sonosynth.parallel import cores
from sonosynth.phantom import write_cohort
from sonosynth.report.sections import SECTIONS
from sonosynth.run import Study, reopen
from sonosynth.runners.local import run_jobs
from sonosynth.sharing import Kind
from sonosynth.study import plan

SMALL = (
    "resolution=32", "token.steps=2", "token.batch=2", "lora.steps=2", "lora.batch=2", "lora.rank=2",
    "unet.steps=2", "unet.batch=2",
    "synthesis.steps=4", "classifier.steps=6", "classifier.resolution=32",
    "classifier.seeds=[0, 1]", "classifier.batch=8", "fidelity.features=embedded", "precision=fp32",
    "segmenter.steps=4", "segmenter.batch=4", "segmenter.resolution=32",
)  # fmt: skip
"""Settings with which a whole study takes seconds."""
FEW_IMAGES = "sets={sd+ti: {count: 3}, variation: {count: 3}}"
"""Of each class, in the sets of `quick` and `sound`."""

LONGEST = (
    "test_docs.py", "test_interruptions.py", "test_ray.py", "test_designs.py", "test_hostile.py", "test_local.py",
    "test_testing.py", "test_leaks.py", "test_reruns.py",
)  # fmt: skip
"""The files whose tests take longest."""

DECLARED = Path(__file__).parent / "declared.yaml"
BUSI = Path(__file__).parents[2] / "shared" / "data" / "busi"


def pytest_collection_modifyitems(items):
    """The longest files come first: one that came last would keep a single process busy."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(autouse=True)
def _few_threads():
    torch.set_num_threads(cores())


@pytest.fixture(autouse=True)
def _own_view():
    progress.relay(progress.view())  # and not the one that a command of another test asked for


@pytest.fixture(autouse=True, scope="session")
def _one_draw():
    """Studies in this process fit the probe to one random part instead of five, but in test_probe.py: its many fits of
    a few images take a fifth of a small study's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sonosynth.fidelity.probe.DRAWS", 1)
        yield


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """A Stable Diffusion 1.x folder with random weights: 32 x 32 images, 8 x 8 latents."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    torch.manual_seed(0)
    embedded = Path(str(resources.files("sonosynth.weights"))) / "base"
    tokenizer = CLIPTokenizer.from_pretrained(embedded / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, projection_dim=32, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), layers_per_block=1, norm_num_groups=4, sample_size=32,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 16), layers_per_block=1, cross_attention_dim=32, attention_head_dim=2,
        norm_num_groups=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory) -> Path:
    """An image classifier of transformers with random weights that trains in milliseconds."""
    folder = tmp_path_factory.mktemp("tiny") / "classifier"
    torch.manual_seed(0)
    ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def without_batch_norm(tmp_path_factory):
    """A classifier for which each image counts by itself: no statistics of a batch, no dropout."""
    folder = tmp_path_factory.mktemp("model") / "vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """A simulated cohort in BUSI layout: 5 normal, 11 benign, 7 malignant."""
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(folder, {"normal": 5, "benign": 11, "malignant": 7}, seed=3, size=48)
    return folder


@pytest.fixture
def cohort_folder(phantoms, tmp_path) -> Path:
    """A copy of the simulated cohort that a test may change."""
    return Path(shutil.copytree(phantoms, tmp_path / "cohort"))


@pytest.fixture(scope="session")
def busi() -> Path:
    if not BUSI.is_dir():
        pytest.skip(f"the BUSI images are not at {BUSI}")
    return BUSI


@pytest.fixture(scope="session")
def settings(tiny_base, tiny_classifier):
    """The small settings, with changes."""

    def changed(*changes):
        named = (f"base={tiny_base}", f"classifier.model={tiny_classifier}")
        return loading.load("quick", [DECLARED, "breast-ultrasound"], (*named, *SMALL, *changes))

    return changed


@pytest.fixture
def planned(settings, phantoms):
    """The jobs by name of a study of phantoms with the small settings and changes."""

    def jobs(*changes):
        wanted = settings(*changes)
        return {job.name: job for job in plan(wanted, list_files(phantoms), resolve(wanted))}

    return jobs


@pytest.fixture
def answer(monkeypatch, capsys):
    """Status and message of a command, in this process."""

    def answered(*arguments):
        monkeypatch.setattr(sys, "argv", ["sonosynth", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return answered


@contextmanager
def figures_of(*sections):
    """Pages in which these sections alone have figures, in this process: drawing all takes half of a small study's
    time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sonosynth.report.jobs.SECTIONS", [one for one in SECTIONS if one.id in sections])
        yield


@pytest.fixture
def no_figures():
    with figures_of():
        yield


@pytest.fixture
def one_process(monkeypatch):
    """Jobs of milliseconds run in this process: starting others would take seconds."""
    here = {"processes": False}
    monkeypatch.setattr("sonosynth.run.run_jobs", lambda *given, **more: run_jobs(*given, **more | here))


@pytest.fixture(scope="session")
def finished(settings, phantoms, tmp_path_factory) -> Path:
    """A finished run."""
    root = tmp_path_factory.mktemp("runs") / "run"
    Study(phantoms, settings()).run(root, processes=False)
    return root


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="session")
def opened(finished) -> _Finished:
    """The finished run, as `exporting` sees it."""
    study = reopen(finished)
    statuses = study.statuses(finished)
    made = {job.name: status.made for job, status in statuses}
    return _Finished(study.settings, {job.name: job for job, _ in statuses}, made, finished, force=False)


@pytest.fixture(scope="session")
def shared(opened):
    """All of the finished run, as the forms of export get it."""
    return dataclasses.replace(opened, force=True).shared([*Kind])


@pytest.fixture
def altered(opened, tmp_path) -> Callable:
    """The finished run, in which what a job made in a role is another text."""

    def changed(job: str, role: str, change: Callable[[str], str], **more) -> _Finished:
        made: Made = opened.made[job]
        file: Path = tmp_path / f"altered {len(list(tmp_path.iterdir()))}"
        file.write_text(change(made.places[role].read_text()))
        instead = dataclasses.replace(made, places={**made.places, role: file})
        return dataclasses.replace(opened, made={**opened.made, job: instead}, **more)

    return changed


def sign(root: Path, job: str) -> None:
    """Record the files of a finished job as they are now, as if the job had made them so.

    Who plants a leak in a run has to get past the digests first: the rule behind them must refuse it all the same.
    """
    record = root / ".jobs" / f"{job}.json"
    stored = json.loads(record.read_text())
    places = stored["inputs"]["makes"]
    for name in stored["files"]:
        role, _, below = name.partition("/")
        stored["files"][name] = sha256(root / places[role] / below)
    record.write_text(json.dumps(stored))

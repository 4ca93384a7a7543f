import json
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import ResNetForImageClassification

from sonosynth.adapters.training import Schedule

SHIPPED = [Path(str(resources.files("sonosynth.weights"))) / name for name in ("base", "features")]


@pytest.fixture
def command(monkeypatch):
    """The command, with trainings of one step."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    pretrain, base, features, second = (
        import_module(name) for name in ("pretrain", "pretrain_base", "features", "second_edition")
    )
    schedule = Schedule(steps=1, batch=2, learning_rate=1e-3)
    for module, name in (
        (base, "VAE"),
        (base, "DECODER"),
        (features, "SCHEDULE"),
        (second, "DECODER"),
        (second, "CONTROL"),
    ):
        monkeypatch.setattr(module, name, schedule)
    monkeypatch.setattr(base, "UNET", {"U-Net": schedule, "U-Net, second cycle": schedule})

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pretrain.py", *map(str, arguments)])
        pretrain.main()

    return run


def test_the_recipe_makes_a_base_for_plain_diffusers_and_resumes(tmp_path, command):
    out = tmp_path / "out"
    command("--out", out, "--work", tmp_path / "work", "--count", 6)
    pipeline = StableDiffusionPipeline.from_pretrained(out / "base", safety_checker=None)
    image = pipeline("ultrasound image", num_inference_steps=1, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (128, 128)
    stored = pipeline.tokenizer("malignant breast lesion")["input_ids"]
    assert len(stored) == 5
    assert ResNetForImageClassification.from_pretrained(out / "features").config.num_labels == 10

    for file in out.rglob("*.safetensors"):
        with safe_open(file, "pt") as stored:
            recipe = json.loads(stored.metadata()["recipe"])
        assert recipe["command"] == "python tools/pretrain.py"
        assert recipe["seed"] == 0
        assert recipe["phantoms"] == 6
    assert '"phantoms": 6' in (out / "base" / "README.md").read_text()
    assert "dynamic range" in (out / "features" / "README.md").read_text()

    unet = out / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    first = load_file(unet)
    command("--out", out, "--work", tmp_path / "work", "--count", 6)
    again = load_file(unet)
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_what_ships_names_its_recipe():
    for folder in SHIPPED:
        files = list(folder.rglob("*.safetensors"))
        assert files
        for file in files:
            with safe_open(file, "pt") as stored:
                recipe = stored.metadata()["recipe"]
            assert json.dumps(json.loads(recipe), indent=1) in (folder / "README.md").read_text()


def test_the_base_that_ships_is_at_most_40_megabytes():
    assert sum(file.stat().st_size for file in SHIPPED[0].rglob("*")) <= 40e6

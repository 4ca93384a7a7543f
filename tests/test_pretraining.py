import json
from importlib import resources
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from sonosynth import pretraining
from sonosynth.diffusion import pretrain
from sonosynth.diffusion.training import Schedule
from sonosynth.evaluation.features import embedded_network


def test_the_recipe_makes_a_base_for_plain_diffusers_and_resumes(tmp_path, monkeypatch):
    schedule = Schedule(steps=1, batch=2, learning_rate=1e-3)
    for module, name in ((pretrain, "VAE"), (pretrain, "DECODER"), (pretraining, "FEATURES")):
        monkeypatch.setattr(module, name, schedule)
    monkeypatch.setattr(pretrain, "UNET", {"U-Net": schedule, "U-Net, second cycle": schedule})
    pretraining.pretrain(tmp_path / "out", tmp_path / "work", count=6)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "out" / "base", safety_checker=None)
    image = pipeline("ultrasound image", num_inference_steps=1, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (128, 128)
    stored = pipeline.tokenizer("malignant breast lesion")["input_ids"]
    assert len(stored) == 5
    assert embedded_network(10).from_pretrained(tmp_path / "out" / "features").config.num_labels == 10

    for file in (tmp_path / "out").rglob("*.safetensors"):
        with safe_open(file, "pt") as stored:
            recipe = json.loads(stored.metadata()["recipe"])
        assert (
            recipe["seed"] == 0
            and recipe["phantoms"] == 6
            and [cycle["steps"] for cycle in recipe["unet"].values()] == [1, 1]
        )
    assert '"phantoms": 6' in (tmp_path / "out" / "base" / "README.md").read_text()
    assert "dynamic range" in (tmp_path / "out" / "features" / "README.md").read_text()

    unet = tmp_path / "out" / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    first = load_file(unet)
    pretraining.pretrain(tmp_path / "out", tmp_path / "work", count=6)
    again = load_file(unet)
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)


def test_what_ships_names_its_recipe():
    for room in ("sonosynth.diffusion", "sonosynth.evaluation"):
        folder = Path(str(resources.files(room))) / "embedded"
        files = list(folder.rglob("*.safetensors"))
        assert files
        for file in files:
            with safe_open(file, "pt") as stored:
                recipe = stored.metadata()["recipe"]
            assert json.dumps(json.loads(recipe), indent=1) in (folder / "README.md").read_text()


def test_what_ships_is_at_most_40_megabytes():
    folders = [Path(str(resources.files(f"sonosynth.{room}"))) / "embedded" for room in ("diffusion", "evaluation")]
    assert sum(file.stat().st_size for folder in folders for file in folder.rglob("*")) <= 40e6

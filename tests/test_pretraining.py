import torch
from diffusers import StableDiffusionPipeline

from sonosynth import pretraining
from sonosynth.diffusion import pretrain
from sonosynth.diffusion.training import Schedule
from sonosynth.evaluation.features import embedded_network


def test_the_recipe_makes_a_base_for_plain_diffusers_and_resumes(tmp_path, monkeypatch):
    schedule = Schedule(steps=1, batch=2, learning_rate=1e-3)
    for module, name in ((pretrain, "VAE"), (pretrain, "UNET"), (pretraining, "FEATURES")):
        monkeypatch.setattr(module, name, schedule)
    pretraining.pretrain(tmp_path / "out", tmp_path / "work", count=6)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "out" / "base", safety_checker=None)
    image = pipeline("ultrasound image", num_inference_steps=1, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (128, 128)
    stored = pipeline.tokenizer("malignant breast lesion")["input_ids"]
    assert len(stored) == 5
    assert embedded_network(8).from_pretrained(tmp_path / "out" / "features").config.num_labels == 8

    first = (tmp_path / "out" / "base" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    pretraining.pretrain(tmp_path / "out", tmp_path / "work", count=6)
    assert (tmp_path / "out" / "base" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == first

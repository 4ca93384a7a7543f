"""Networks on another device than the CPU, up to where pixels leave it.

The meta device stands for a GPU: it holds no numbers, and refuses to compute with a tensor that was left on the CPU.
"""

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from transformers import ViTConfig, ViTModel

from sonosynth import device
from sonosynth.adapters import learning
from sonosynth.adapters.settings import Lora, Token
from sonosynth.adapters.training import make_accelerator
from sonosynth.bases import latents, sd1
from sonosynth.fidelity import networks
from sonosynth.synthesis import sampling, times
from sonosynth.synthesis.settings import Synthesis

META = torch.device("meta")
IMAGES = np.zeros((2, 32, 32), np.uint8)
PROMPTS = ["a benign lesion", "a malignant lesion"]


class Left(Exception):
    """Everything was computed on the device."""


class Scheduler(DPMSolverMultistepScheduler):
    """Its times stay on the CPU: it looks them up by their values, which a meta tensor lacks."""

    def set_timesteps(self, steps=None, device=None, timesteps=None):
        super().set_timesteps(steps, timesteps=timesteps)

    def add_noise(self, samples, noise, times):
        assert samples.device == noise.device
        return samples + noise


@pytest.fixture(autouse=True)
def on_meta(monkeypatch):
    monkeypatch.setattr(device, "best", lambda: META)


@pytest.fixture
def base(tiny_base):
    return sd1.Base("tiny", tiny_base, "")


def test_the_device_is_cuda_or_the_cpu(monkeypatch):
    monkeypatch.undo()
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device.best().type == kind
    assert make_accelerator("fp32").device.type == "cpu"


@pytest.fixture
def sampler(base, monkeypatch):
    def pixels(decoded):
        assert decoded.device == META and decoded.shape == (2, 3, 32, 32)
        raise Left

    monkeypatch.setattr(latents, "to_grey", pixels)
    monkeypatch.setattr(times, "DPMSolverMultistepScheduler", Scheduler)
    return sampling.Sampler(base, None, "fp32", 32, Synthesis(steps=4))


def test_text_becomes_images_on_the_device(sampler):
    with pytest.raises(Left):
        sampler.generate(PROMPTS, [0, 1])


@pytest.mark.parametrize("steps", [None, 3])
def test_images_are_refined_on_the_device(sampler, steps):
    with pytest.raises(Left):
        sampler.refine(IMAGES, PROMPTS, [0, 1], 0.5, steps)


def test_images_go_through_the_vae_on_the_device(sampler):
    with pytest.raises(Left):
        latents.reconstruct(sampler.pipeline.vae, IMAGES)


@pytest.fixture
def examples(monkeypatch):
    """What to train on; instead of a training there is one step, forward and backward."""

    def step(name, parameters, loss_of, samples, schedule, *, accelerator, **_):
        assert accelerator.device == META and {p.device for p in parameters} == {META}
        loss_of(torch.tensor([0, 1]), torch.Generator().manual_seed(0)).backward()
        assert all(p.grad.device == META and p.grad.shape == p.shape for p in parameters)
        raise Left

    monkeypatch.setattr(learning, "train", step)
    monkeypatch.setattr(learning, "make_accelerator", lambda *_: type("Accelerator", (), {"device": META}))
    return learning.Examples(latents.Latents(*torch.zeros(2, 4, 4, 8, 8)), PROMPTS)


def test_a_step_of_a_token_runs_on_the_device(base, examples, tmp_path):
    with pytest.raises(Left):
        learning.learn_token(
            Token(), "<t>", base, examples, precision="fp32", seed=0, work=tmp_path, out=tmp_path
        )  # fmt: skip


@pytest.mark.parametrize("layers", ["attention", "all"])
def test_a_step_of_a_lora_runs_on_the_device(base, examples, tmp_path, layers):
    with pytest.raises(Left):
        learning.learn_lora(
            Lora(layers=layers), base, examples, precision="fp32", seed=0, work=tmp_path, out=tmp_path
        )  # fmt: skip


def test_features_are_computed_on_the_device(tmp_path, monkeypatch):
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path)
    about = '{"size": 32, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    (tmp_path / "preprocessor_config.json").write_text(about)
    for network in (networks.resolve("embedded"), networks.Network("vit", tmp_path, "")):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
            networks.extractor(network)(IMAGES)

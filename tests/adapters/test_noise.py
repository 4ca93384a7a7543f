"""The denoising loss: weights of the noise levels."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from sonosynth.adapters.noise import NoiseError, min_snr
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents

STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def test_weights_of_the_noise_are_those_of_diffusers_training_script():
    scheduler = DDPMScheduler(**STABLE_DIFFUSION)
    ratio = compute_snr(scheduler, torch.arange(1000))
    theirs = torch.stack([ratio, 5.0 * torch.ones_like(ratio)], dim=1).min(dim=1)[0] / ratio
    ours = min_snr(scheduler.alphas_cumprod, velocity=False)
    assert torch.allclose(ours, theirs, rtol=1e-4)
    assert ours[-1] == 1 and ours[0] < 0.01


def test_weights_of_the_velocity_are_those_that_the_embedded_base_was_pretrained_with():
    signal = DDPMScheduler(**STABLE_DIFFUSION, rescale_betas_zero_snr=True).alphas_cumprod
    pretrained = (1 / (1 - signal)).clamp(max=6) * (1 - signal)  # tools/pretrain_base.py
    ours = min_snr(signal, velocity=True)
    assert torch.allclose(ours, pretrained, atol=1e-6)
    assert ours[-1] == 1  # pure noise


@pytest.mark.parametrize("time", [20, 900])
def test_the_loss_of_a_batch_is_the_weighted_mean_of_its_images_losses(tiny_base, monkeypatch, time):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu", without=("vae", "text_encoder"))
    draws = torch.Generator().manual_seed(0)
    mean, embeddings = torch.randn(4, 4, 8, 8, generator=draws), torch.randn(2, 77, 32, generator=draws)
    latents = Latents(mean, torch.zeros_like(mean))
    monkeypatch.setattr(torch, "randint", lambda low, high, shape, generator: torch.full(shape, time))
    plain, weighted = (
        NoiseError(pipeline, latents, weighted)(torch.tensor([0, 1]), embeddings, torch.Generator().manual_seed(1))
        for weighted in (False, True)
    )
    weight = min_snr(pipeline.scheduler.alphas_cumprod, velocity=False)[time]
    assert float(weighted) == pytest.approx(float(plain * weight), rel=1e-5)
    assert (weight < 1) == (time == 20)

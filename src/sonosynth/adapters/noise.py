"""The denoising loss, and how much each noise level counts in it."""

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from sonosynth.bases.latents import Latents

SMALL = 1024
"""Largest latent, in positions, with full attention: all pairs are held in memory. 256 pixels in Stable Diffusion."""

GAMMA = 5.0
"""Signal-to-noise ratio from which on min-SNR counts an error of the clean image no more (Hang et al.)."""


def min_snr(signal: Tensor, velocity: bool) -> Tensor:
    """Weights (T,) of the squared error at noise levels with a share `signal` (T,) of signal variance, in [0, 1].

    min(SNR, 5) / SNR where the noise is predicted (Hang et al., ICCV 2023, section 3.4). For the velocity, min(SNR + 1,
    6) / (SNR + 1): their weight with the ratio shifted by one, so that pure noise, where a schedule ends in it, counts
    as well.
    """
    shift = 1.0 if velocity else 0.0
    noise = 1 - signal.double()
    ratio = signal.double() / noise + shift
    return ((GAMMA + shift) / ratio).clamp(max=1).float()


class NoiseError:
    """The mean squared error of the predicted noise, or velocity, of a batch of latents under given embeddings.

    Ho et al., NeurIPS 2020, eq. 14. weighted: whether noise levels count by `min_snr`, or all the same.
    """

    def __init__(self, pipeline: StableDiffusionPipeline, latents: Latents, weighted: bool = False) -> None:
        self.unet, self.latents = pipeline.unet, latents
        self.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.velocity = self.scheduler.config.prediction_type == "v_prediction"
        self.weights = min_snr(self.scheduler.alphas_cumprod, self.velocity) if weighted else None
        small = latents.mean[0, 0].numel() <= SMALL
        if small and self.unet.device.type == "cpu" and self.unet.dtype == torch.bfloat16:
            # There, the backward pass of torch's fused attention is so slow that it costs a seventh of a step.
            self.unet.set_attn_processor(AttnProcessor())

    def __call__(self, indices: Tensor, embeddings: Tensor, generator: torch.Generator) -> Tensor:
        """The error for the images `indices` (B,) under embeddings (B, length, width), at times that are drawn."""
        clean = self.latents.sample(indices, generator)
        noise = torch.randn(clean.shape, generator=generator)
        steps = self.scheduler.config.num_train_timesteps
        times = torch.randint(0, steps, (len(clean),), generator=generator)
        noisy = self.scheduler.add_noise(clean, noise, times)
        target = self.scheduler.get_velocity(clean, noise, times) if self.velocity else noise
        device, dtype = self.unet.device, self.unet.dtype
        predicted = self.unet(noisy.to(device, dtype), times.to(device), embeddings.to(dtype)).sample
        if self.weights is None:
            return torch.nn.functional.mse_loss(predicted.float(), target.to(device))
        errors = (predicted.float() - target.to(device)).square().mean(dim=(1, 2, 3))
        return (errors * self.weights[times].to(device)).mean()

"""Text-to-image and image-to-image with an adapted base, in batches.

The noise, the order of its draws and the solver are diffusers', so that plain diffusers, given the prompt, seed and
settings of metadata.csv, makes the same images, as long as all noise levels are guided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from torch import Tensor

from sonosynth.diffusion import base as base_model
from sonosynth.diffusion import lora as low_rank
from sonosynth.diffusion import memory
from sonosynth.diffusion import token as inversion
from sonosynth.diffusion.latents import encode_prompts, to_grey, to_tensor, tokenize


@dataclass(frozen=True)
class Recipe:
    """How noise becomes an image: see `config.Synthesis`.

    steps: of the solver, "base" (the base's own) or "dpm++". guidance: scale of classifier-free guidance (Ho and
    Salimans, 2022). guidance_interval: the lowest and highest noise level that is guided (Kynkäänniemi et al., NeurIPS
    2024), as the deviation of the noise where the signal is scaled to 1; a step outside takes half the work. None: all.
    """

    steps: int
    guidance: float
    guidance_interval: tuple[float, float] | None = None
    solver: str = "base"


class Sampler:
    """An adapted model that makes images.

    Args:
        folder: of the base. adapter: folder with the LoRA and, if `token` is not empty, the learned token; None
            takes the base as it is.
        token: the learned token's text; every prompt must hold it.
    """

    def __init__(
        self, folder: Path, adapter: Path | None, token: str, precision: str, resolution: int, recipe: Recipe
    ) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline: StableDiffusionPipeline = base_model.load(folder, base_model.DTYPES[precision], device)
        if adapter:
            if token:
                inversion.load(self.pipeline, token, adapter / "learned_embeds.safetensors")
            low_rank.load(self.pipeline, adapter)
        if recipe.solver == "dpm++":
            self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(self.pipeline.scheduler.config)
        self.refiner = StableDiffusionImg2ImgPipeline(**self.pipeline.components, requires_safety_checker=False)
        self.token, self.resolution, self.recipe = token, resolution, recipe
        self._embeddings: dict[str, Tensor] = {}

    @torch.no_grad()
    @memory.kept_by_process()
    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> tuple[np.ndarray, Tensor]:
        """Text to images: (N, H, W) uint8 grey, and their latents as the U-Net sees them.

        Each image's noise comes from a generator of its own, `torch.Generator().manual_seed(seed)`.
        """
        unet, generators = self.pipeline.unet, _generators(seeds)
        self.pipeline.scheduler.set_timesteps(self.recipe.steps, device=unet.device)
        noise = self.pipeline.prepare_latents(
            len(prompts), unet.config.in_channels, self.resolution, self.resolution, unet.dtype, unet.device, generators
        )
        latents = self._denoise(noise, self.pipeline.scheduler.timesteps, prompts, generators)
        return self._decode(latents), latents

    @torch.no_grad()
    @memory.kept_by_process()
    def refine(
        self, start: np.ndarray | Tensor, prompts: Sequence[str], seeds: Sequence[int], strength: float
    ) -> np.ndarray:
        """Image to image: `start` is (N, H, W) uint8 grey, or latents as `generate` returns them.

        Runs the last `strength` share of the steps (SDEdit, Meng et al., ICLR 2022). Returns (N, H, W) uint8 grey.
        """
        unet, vae, generators = self.pipeline.unet, self.pipeline.vae, _generators(seeds)
        self.refiner.scheduler.set_timesteps(self.recipe.steps, device=unet.device)
        times, _ = self.refiner.get_timesteps(self.recipe.steps, strength, unet.device)
        if not isinstance(start, Tensor):
            posterior = vae.encode(to_tensor(start).to(vae.device, vae.dtype)).latent_dist
            start = posterior.sample(generators) * vae.config.scaling_factor
        noised = self.refiner.prepare_latents(
            start, times[:1].repeat(len(prompts)), len(prompts), 1, unet.dtype, unet.device, generators
        )
        return self._decode(self._denoise(noised, times, prompts, generators))

    def stack(self, latents: Sequence[Tensor]) -> Tensor:
        """(N, C, h, w) of N latents, where and as the U-Net wants them."""
        return torch.stack(list(latents)).to(self.pipeline.unet.device, self.pipeline.unet.dtype)

    def _denoise(
        self, latents: Tensor, times: Tensor, prompts: Sequence[str], generators: list[torch.Generator]
    ) -> Tensor:
        """From latents at the noise level of the first of `times` to clean ones."""
        unet, scheduler, scale = self.pipeline.unet, self.pipeline.scheduler, self.recipe.guidance
        further = self.pipeline.prepare_extra_step_kwargs(generators, 0.0)
        known, unknown = self._embedded(prompts)
        both = torch.cat([unknown, known])
        for time in times:
            noisy = scheduler.scale_model_input(latents, time)
            if self._guided(time):
                without, predicted = unet(torch.cat([noisy] * 2), time, both).sample.chunk(2)
                predicted = without + scale * (predicted - without)
            else:
                predicted = unet(noisy, time, known).sample
            latents = scheduler.step(predicted, time, latents, **further, return_dict=False)[0]
        return latents

    def _guided(self, time: Tensor) -> bool:
        if self.recipe.guidance <= 1:
            return False
        if self.recipe.guidance_interval is None:
            return True
        signal = float(self.pipeline.scheduler.alphas_cumprod[round(float(time))])
        low, high = self.recipe.guidance_interval
        return low <= ((1 - signal) / max(signal, 1e-12)) ** 0.5 <= high

    def _embedded(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (N, length, width) of the prompts, and of as many empty ones."""
        new = sorted({"", *prompts} - self._embeddings.keys())
        if new and self.token:
            inversion.check_present(self.pipeline, self.token, [prompt for prompt in new if prompt])
        for prompt in new:  # one by one: others beside it could change its rounding
            tokens = tokenize(self.pipeline.tokenizer, [prompt])
            self._embeddings[prompt] = encode_prompts(self.pipeline.text_encoder, tokens)[0]
        known = torch.stack([self._embeddings[prompt] for prompt in prompts])
        return known, self._embeddings[""].expand_as(known)

    def _decode(self, latents: Tensor) -> np.ndarray:
        vae = self.pipeline.vae
        return np.concatenate(
            [to_grey(vae.decode(part / vae.config.scaling_factor).sample) for part in latents.split(8)]
        )


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]

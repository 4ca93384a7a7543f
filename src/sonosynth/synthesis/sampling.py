"""Text-to-image and image-to-image with an adapted base, in batches; with a control, under lesion masks.

The noise, the order of its draws and the solver are diffusers', so that plain diffusers, given the prompt, seed, mask
and settings of metadata.csv, makes the same images, as long as all noise levels are guided.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from sonosynth import device
from sonosynth.adapters import control as steering
from sonosynth.adapters import lora as low_rank
from sonosynth.adapters import token as inversion
from sonosynth.adapters import unet as whole
from sonosynth.bases import memory, sd1
from sonosynth.bases.latents import decode, encode_prompts, to_tensor, tokenize
from sonosynth.synthesis import blending
from sonosynth.synthesis import times as schedule
from sonosynth.synthesis.blending import Kept
from sonosynth.synthesis.settings import Synthesis


class Sampler:
    """An adapted base that makes images.

    Args:
        adapter: folder with a LoRA, learned tokens or both, or a U-Net; every prompt must contain one of its tokens.
            None is the base as it is. controlled: whether the adapter's control branch is used; every image is then
            made under a mask.
    """

    def __init__(
        self, base: sd1.Base, adapter: Path | None, precision: str, resolution: int, settings: Synthesis, *,
        controlled: bool = False,
    ) -> None:  # fmt: skip
        dtype = sd1.DTYPES[precision]
        unet = whole.load(adapter, dtype) if adapter else None
        self.pipeline: StableDiffusionPipeline = sd1.load(base.folder, dtype, device.best(), unet=unet)
        self.tokens = inversion.load(self.pipeline, adapter) if adapter else []
        if adapter:
            low_rank.load(self.pipeline, adapter)
        self.control = steering.load(adapter, dtype).to(device.best()) if adapter and controlled else None
        self.pipeline.scheduler = schedule.solver(self.pipeline.scheduler, settings.solver)
        self.refiner = StableDiffusionImg2ImgPipeline(**self.pipeline.components, requires_safety_checker=False)
        self.resolution, self.settings = resolution, settings
        self._embeddings: dict[str, Tensor] = {}

    @property
    def columns(self) -> dict[str, Any]:
        """The settings as columns of metadata.csv."""
        return self.settings.columns

    @torch.no_grad()
    @memory.kept_by_process()
    def generate(self, prompts: Sequence[str], seeds: Sequence[int], masks: np.ndarray | None = None) -> np.ndarray:
        """Text to images (N, H, W) uint8 grey.

        Each image's noise comes from a generator of its own, `torch.Generator().manual_seed(seed)`.

        Args:
            masks: (N, H, W) bool, with a control: where each image is to show a lesion.
        """
        unet, generators = self.pipeline.unet, _generators(seeds)
        self.pipeline.scheduler.set_timesteps(self.settings.steps, device=unet.device)
        noise = self.pipeline.prepare_latents(
            len(prompts), unet.config.in_channels, self.resolution, self.resolution, unet.dtype, unet.device, generators
        )
        clean = self._denoise(noise, self.pipeline.scheduler.timesteps, prompts, generators, masks)
        return decode(self.pipeline.vae, clean)

    def times(self, strength: float, steps: int | None) -> Tensor:
        """The time steps (T,) of a refinement, 0 to 999 for Stable Diffusion: noise is added to the first.

        Args:
            steps: as many, evenly spaced from strength x 1000. None: diffusers' rule, the last `strength` share of the
                sampling steps, rounded down.
        """
        scheduler, place = self.pipeline.scheduler, self.pipeline.unet.device
        if steps is None:
            scheduler.set_timesteps(self.settings.steps, device=place)
            times: Tensor = self.refiner.get_timesteps(self.settings.steps, strength, place)[0]
            return times
        schedule.set_on(scheduler, schedule.spaced(strength, steps, scheduler.config.num_train_timesteps), place)
        return self.refiner.get_timesteps(len(scheduler.timesteps), 1.0, place)[0]

    @torch.no_grad()
    @memory.kept_by_process()
    def refine(
        self, images: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], strength: float,
        steps: int | None, *, masks: np.ndarray | None = None, regions: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Image to image, both (N, H, W) uint8 grey, at `times` (SDEdit, Meng et al., ICLR 2022).

        Args:
            masks: as for `generate`. regions: (N, H, W) bool, what is to change in each image; the rest is kept, see
                `blending`.
        """
        unet, vae, generators = self.pipeline.unet, self.pipeline.vae, _generators(seeds)
        times = self.times(strength, steps)
        posterior = vae.encode(to_tensor(images).to(vae.device, vae.dtype)).latent_dist
        start = posterior.sample(generators) * vae.config.scaling_factor
        noise = randn_tensor(start.shape, generators, unet.device, unet.dtype)
        noised = self.pipeline.scheduler.add_noise(start, noise, times[:1].repeat(len(prompts)))
        kept = None if regions is None else Kept.outside(regions, start, noise)
        made = decode(vae, self._denoise(noised, times, prompts, generators, masks, kept))
        return made if regions is None else blending.pasted(made, images, regions)

    def _denoise(
        self, latents: Tensor, times: Tensor, prompts: Sequence[str], generators: list[torch.Generator],
        masks: np.ndarray | None, kept: Kept | None = None,
    ) -> Tensor:  # fmt: skip
        """From latents at the noise level of the first of `times` to clean ones."""
        scheduler, scale = self.pipeline.scheduler, self.settings.scale
        further = self.pipeline.prepare_extra_step_kwargs(generators, 0.0)
        conditional, unconditional = self._embedded(prompts)
        both = torch.cat([unconditional, conditional])
        asked = None if masks is None else torch.from_numpy(np.ascontiguousarray(masks))
        for time, following in zip(times, [*times[1:], None], strict=True):
            noisy = scheduler.scale_model_input(latents, time)
            if self._guided(time):
                without, predicted = self._predicted(torch.cat([noisy] * 2), time, both, asked).chunk(2)
                predicted = without + scale * (predicted - without)
            else:
                predicted = self._predicted(noisy, time, conditional, asked)
            latents = scheduler.step(predicted, time, latents, **further, return_dict=False)[0]
            if kept:
                latents = kept.into(latents, scheduler, following)
        return latents

    def _predicted(self, noisy: Tensor, time: Tensor, embeddings: Tensor, masks: Tensor | None) -> Tensor:
        """What the U-Net makes of noisy latents (n N, C, h, w), each N of them under the N masks, if it is steered."""
        steered = {}
        if self.control is not None:
            assert masks is not None
            every = masks.repeat(len(noisy) // len(masks), 1, 1)
            steered = steering.residuals(self.control, noisy, time, embeddings, every)
        predicted: Tensor = self.pipeline.unet(noisy, time, embeddings, **steered).sample
        return predicted

    def _guided(self, time: Tensor) -> bool:
        if self.settings.scale <= 1:
            return False
        if self.settings.guidance_interval is None:
            return True
        signal = float(self.pipeline.scheduler.alphas_cumprod[round(float(time))])
        low, high = self.settings.guidance_interval
        return low <= ((1 - signal) / max(signal, 1e-12)) ** 0.5 <= high

    def _embedded(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings (N, length, width) of the prompts, and of as many empty ones."""
        new = sorted({"", *prompts} - self._embeddings.keys())
        if new and self.tokens:
            inversion.check_present(self.pipeline, self.tokens, [prompt for prompt in new if prompt])
        for prompt in new:  # one by one: others in the batch could change its rounding
            tokens = tokenize(self.pipeline.tokenizer, [prompt])
            self._embeddings[prompt] = encode_prompts(self.pipeline.text_encoder, tokens)[0]
        conditional = torch.stack([self._embeddings[prompt] for prompt in prompts])
        return conditional, self._embeddings[""].expand_as(conditional)


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]

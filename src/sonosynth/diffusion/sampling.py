"""Text-to-image and image-to-image with an adapted base, through diffusers' own pipelines.

So plain diffusers, given the prompt, seed and settings of metadata.csv, makes the same images.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from sonosynth.diffusion import base as base_model
from sonosynth.diffusion import lora as low_rank
from sonosynth.diffusion import token as inversion
from sonosynth.diffusion.latents import encode_prompts, to_grey, tokenize


class Sampler:
    """An adapted model that makes images.

    Args:
        folder: of the base. adapter: folder with the LoRA and, if `token` is not empty, the learned token; None
            takes the base as it is.
        token: the learned token's text; every prompt must hold it.
    """

    def __init__(self, folder: Path, adapter: Path | None, token: str, precision: str, resolution: int) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.pipeline: StableDiffusionPipeline = base_model.load(folder, base_model.DTYPES[precision], device)
        if adapter:
            if token:
                inversion.load(self.pipeline, token, adapter / "learned_embeds.safetensors")
            low_rank.load(self.pipeline, adapter)
        self.refiner = StableDiffusionImg2ImgPipeline(**self.pipeline.components, requires_safety_checker=False)
        self.refiner.set_progress_bar_config(disable=True)
        self.token, self.resolution = token, resolution
        self._embeddings: dict[str, Tensor] = {}

    def generate(
        self, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float
    ) -> tuple[np.ndarray, Tensor]:
        """Text to images: (N, H, W) uint8 grey, and their latents as the U-Net sees them.

        Each image's noise comes from a generator of its own, `torch.Generator().manual_seed(seed)`.
        """
        latents = self.pipeline(
            **self._embedded(prompts),
            height=self.resolution,
            width=self.resolution,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=_generators(seeds),
            output_type="latent",
        ).images
        return self._decode(latents), latents

    def refine(
        self, start: np.ndarray | Tensor, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance: float,
        strength: float,
    ) -> np.ndarray:  # fmt: skip
        """Image to image: `start` is (N, H, W) uint8 grey, or latents as `generate` returns them.

        Runs the last `strength` share of `steps`. Returns (N, H, W) uint8 grey.
        """
        # diffusers takes what has the latent's channels for latents
        pictures = not isinstance(start, Tensor)
        source = [Image.fromarray(image).convert("RGB") for image in start] if pictures else start
        latents = self.refiner(
            **self._embedded(prompts),
            image=source,
            strength=strength,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=_generators(seeds),
            output_type="latent",
        ).images
        return self._decode(latents)

    def stack(self, latents: Sequence[Tensor]) -> Tensor:
        """(N, C, h, w) of N latents, where and as the U-Net wants them."""
        return torch.stack(list(latents)).to(self.pipeline.unet.device, self.pipeline.unet.dtype)

    def _embedded(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        new = sorted({"", *prompts} - self._embeddings.keys())
        if new:
            if self.token:
                inversion.check_present(self.pipeline, self.token, [prompt for prompt in new if prompt])
            for prompt in new:  # one by one: others beside it could change its rounding
                with torch.no_grad():
                    tokens = tokenize(self.pipeline.tokenizer, [prompt])
                    self._embeddings[prompt] = encode_prompts(self.pipeline.text_encoder, tokens)[0]
        return {
            "prompt_embeds": torch.stack([self._embeddings[prompt] for prompt in prompts]),
            "negative_prompt_embeds": torch.stack([self._embeddings[""]] * len(prompts)),
        }

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> np.ndarray:
        vae = self.pipeline.vae
        return np.concatenate(
            [to_grey(vae.decode(part / vae.config.scaling_factor).sample) for part in latents.split(8)]
        )


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]

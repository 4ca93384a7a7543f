"""Images to latents and prompts to embeddings: each once, before training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from sonosynth import disk, progress
from sonosynth.bases import memory
from sonosynth.errors import UserError, first_line


@dataclass(frozen=True)
class Latents:
    """Posterior of the VAE for N images and, from N on, for their mirror images: each (2N, C, h, w)."""

    mean: Tensor
    deviation: Tensor

    def save(self, path: Path) -> None:
        """Write them to a safetensors file."""
        disk.write_bytes(path, safetensors.torch.save({"mean": self.mean, "deviation": self.deviation}))

    @classmethod
    def load(cls, path: Path) -> "Latents":
        """The latents that `save` wrote."""
        return cls(**safetensors.torch.load_file(path))

    def choose(self, rows: Sequence[int] | np.ndarray, *, mirror: bool = True) -> "Latents":
        """The latents of some of the images, by position; without `mirror`, upright in the place of mirror images."""
        upright = torch.tensor(np.array(rows))
        both = torch.cat([upright, upright + len(self.mean) // 2 * mirror])
        return Latents(self.mean[both], self.deviation[both])

    def mirrored(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """The rows (B,) of the images `indices` (B,), or of their mirror images with probability 1/2."""
        mirrored = torch.rand(len(indices), generator=generator) < 0.5
        return indices + mirrored * (len(self.mean) // 2)

    def drawn(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """A draw from the posterior at each of the `rows` (B,)."""
        noise = torch.randn(self.mean[rows].shape, generator=generator)
        return self.mean[rows] + self.deviation[rows] * noise

    def sample(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """A draw from the posterior of the images `indices` (B,), each mirrored with probability 1/2."""
        return self.drawn(self.mirrored(indices, generator), generator)


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W) uint8 grey to (N, 3, H, W) float in [-1, 1]."""
    return (torch.from_numpy(images).float() / 127.5 - 1)[:, None].expand(-1, 3, -1, -1)


def to_grey(decoded: Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] to (N, H, W) uint8, rounded to RGB and weighted as by Pillow's `convert("L")`.

    An image with any non-finite value becomes all black, so that it can't pass for a valid one.
    """
    decoded = decoded.float().cpu()
    finite = decoded.isfinite().flatten(1).all(1)
    decoded = torch.where(finite[:, None, None, None], decoded, -1.0)
    levels = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.int64)
    red, green, blue = levels.unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).to(torch.uint8).numpy()


def decode(vae: AutoencoderKL, latents: Tensor) -> np.ndarray:
    """Latents (N, C, h, w), scaled as the U-Net expects them, to images (N, H, W) uint8."""
    parts = [part / vae.config.scaling_factor for part in latents.split(8)]
    return np.concatenate([to_grey(vae.decode(part).sample) for part in parts])


@torch.no_grad()
@memory.kept_by_process()
def reconstruct(vae: AutoencoderKL, images: np.ndarray) -> np.ndarray:
    """Images (N, H, W) uint8 through the VAE and back: the mean of the posterior, decoded; nothing is drawn."""
    latents = vae.encode(to_tensor(images).to(vae.device, vae.dtype)).latent_dist.mean
    return decode(vae, latents * vae.config.scaling_factor)


@torch.no_grad()
@memory.kept_by_process()
def encode_images(vae: AutoencoderKL, images: np.ndarray, batch: int = 8) -> Latents:
    """Latents of `images` (N, H, W) uint8 and of their mirror images, scaled as the U-Net expects them."""
    both = np.concatenate([images, images[:, :, ::-1]])
    scale = vae.config.scaling_factor
    means, deviations = [], []
    with progress.task("encoding images", len(both)) as bar:
        for start in range(0, len(both), batch):
            bar.advance(len(both[start : start + batch]))
            pixels = to_tensor(both[start : start + batch]).to(vae.device, vae.dtype)
            posterior = vae.encode(pixels).latent_dist
            means.append(posterior.mean.float().cpu() * scale)
            deviations.append(posterior.std.float().cpu() * scale)
    return Latents(torch.cat(means).contiguous(), torch.cat(deviations).contiguous())


def tokenize(tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """Token ids (N, length), padded to the tokenizer's length.

    Raises:
        UserError: if a prompt has more tokens than the text encoder reads; its end would be lost silently.
    """
    length = tokenizer.model_max_length
    for prompt in set(prompts):
        found = len(tokenizer(prompt, truncation=False)["input_ids"])
        if found > length:
            raise UserError(
                f"prompts: {first_line(repr(prompt))} has {found} tokens",
                f"at most {length}",
                "shorten the prompt of this label",
            )
    ids: Tensor = tokenizer(prompts, padding="max_length", max_length=length, return_tensors="pt").input_ids
    return ids


def encode_prompts(text_encoder: CLIPTextModel, tokens: Tensor) -> Tensor:
    """Embeddings (N, length, width) of token ids (N, length)."""
    embeddings: Tensor = text_encoder(tokens.to(text_encoder.device))[0]
    return embeddings

"""Adaptation of a base to a cohort's training images: the token first, then the LoRA.

Both minimise the error of the predicted noise (Ho et al., NeurIPS 2020, eq. 14; velocity where the base
predicts that). Latents are encoded once, mirror images included; for the LoRA the prompts are, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from sonosynth.diffusion import base as base_model
from sonosynth.diffusion import lora as low_rank
from sonosynth.diffusion import token as inversion
from sonosynth.diffusion.latents import Latents, encode_images, encode_prompts, tokenize
from sonosynth.diffusion.training import Schedule, make_accelerator, train

SMALL = 1024
"""Positions of a latent, 256 pixels of Stable Diffusion, up to which all pairs of them may be held."""


@dataclass(frozen=True)
class Examples:
    """What a model is adapted to: the latents of N images and the prompt of each, without the token."""

    latents: Latents
    prompts: Sequence[str]


def encode(folder: Path, images: np.ndarray, precision: str, out: Path) -> None:
    """Encode images (N, H, W) uint8 with the VAE of the base in `folder`, once for all models, into the file `out`."""
    device = make_accelerator(precision).device
    pipeline = base_model.load(folder, base_model.DTYPES[precision], device, without=("unet", "text_encoder"))
    encode_images(pipeline.vae, images).save(out)


def with_token(prompt: str, token: str) -> str:
    """The prompt of a +ti model: the token is appended, in training and in inference."""
    return f"{prompt} {token}"


def learn_token(
    folder: Path, examples: Examples, token: str, init: str, schedule: Schedule, precision: str, seed: int, work: Path,
    out: Path,
) -> tuple[list[float], dict[str, float]]:  # fmt: skip
    """Textual inversion of `token` on the base in `folder`; writes the file `out`.

    Returns the losses, and how far the vector moved: its norm before and after, the distance between the two
    and the cosine of the angle.
    """
    accelerator = make_accelerator(precision, schedule.accumulation)
    pipeline = base_model.load(folder, base_model.DTYPES[precision], accelerator.device, without=("vae",))
    new = inversion.add(pipeline, token, init)
    prompts = [with_token(prompt, token) for prompt in examples.prompts]
    inversion.check_present(pipeline, token, prompts)
    distinct, rows = _distinct(prompts)
    tokens = tokenize(pipeline.tokenizer, distinct)
    error = _noise_error(pipeline, examples.latents)
    before = new.vector.detach().clone()

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        needed, places = rows[indices].unique(return_inverse=True)
        embeddings = encode_prompts(pipeline.text_encoder, tokens[needed])
        return error(indices, embeddings[places.to(embeddings.device)], generator)

    with inversion.trained_in_place_of_its_row(pipeline, new):
        losses = train(
            f"token {token}", [new.vector], loss_of, len(prompts), schedule,
            accelerator=accelerator, seed=seed, checkpoint=work / "token.safetensors",
        )  # fmt: skip
    inversion.save(new, out)
    after = new.vector.detach()
    return losses, {
        "norm_before": float(before.norm()),
        "norm_after": float(after.norm()),
        "moved": float((after - before).norm()),
        "cosine": float(torch.cosine_similarity(before, after, dim=0)),
    }


def learn_lora(
    folder: Path, examples: Examples, token_file: Path | None, token: str, rank: int, layers: str,
    schedule: Schedule, precision: str, seed: int, work: Path, out: Path,
) -> list[float]:  # fmt: skip
    """LoRA on the base in `folder`, with the learned token in every prompt if `token_file` is given.

    Writes `pytorch_lora_weights.safetensors` into the folder `out`; returns the losses.
    """
    accelerator = make_accelerator(precision, schedule.accumulation)
    load = partial(base_model.load, folder, base_model.DTYPES[precision], accelerator.device)
    embeddings, rows = _embed(load(without=("vae", "unet")), examples.prompts, token_file, token)
    pipeline = load(without=("vae", "text_encoder"))
    error = _noise_error(pipeline, examples.latents)
    parameters = low_rank.attach(pipeline, rank, layers, seed)

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        return error(indices, embeddings[rows[indices].to(embeddings.device)], generator)

    # peft would cast all inputs to its weights' float32, and autocast would cast them back.
    with disable_input_dtype_casting(pipeline.unet):
        # One name with and without the token, so that both see the same images, noises and times.
        losses = train(
            "LoRA", parameters, loss_of, len(rows), schedule,
            accelerator=accelerator, seed=seed, checkpoint=work / "lora.safetensors",
        )  # fmt: skip
    low_rank.save(pipeline, out)
    return losses


def _embed(
    pipeline: StableDiffusionPipeline, prompts: Sequence[str], token_file: Path | None, token: str
) -> tuple[Tensor, Tensor]:
    """Embeddings of the different prompts (D, length, width), and which of them each of the N prompts is: (N,)."""
    if token_file:
        inversion.load(pipeline, token, token_file)
        prompts = [with_token(prompt, token) for prompt in prompts]
        inversion.check_present(pipeline, token, prompts)
    distinct, rows = _distinct(prompts)
    with torch.no_grad():
        return encode_prompts(pipeline.text_encoder, tokenize(pipeline.tokenizer, distinct)), rows


def _distinct(prompts: Sequence[str]) -> tuple[list[str], Tensor]:
    """The different prompts, and which of them each of the N prompts is: (N,)."""
    distinct = sorted(set(prompts))
    return distinct, torch.tensor([distinct.index(prompt) for prompt in prompts])


class _noise_error:
    """The denoising loss of a batch of latents under given prompt embeddings."""

    def __init__(self, pipeline: StableDiffusionPipeline, latents: Latents) -> None:
        self.unet, self.latents = pipeline.unet, latents
        self.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        small = latents.mean[0, 0].numel() <= SMALL
        if small and self.unet.device.type == "cpu" and self.unet.dtype == torch.bfloat16:
            # There, torch's fused attention is so slow backwards that it costs a seventh of a step.
            self.unet.set_attn_processor(AttnProcessor())

    def __call__(self, indices: Tensor, embeddings: Tensor, generator: torch.Generator) -> Tensor:
        clean = self.latents.sample(indices, generator)
        noise = torch.randn(clean.shape, generator=generator)
        steps = self.scheduler.config.num_train_timesteps
        times = torch.randint(0, steps, (len(clean),), generator=generator)
        noisy = self.scheduler.add_noise(clean, noise, times)
        velocity = self.scheduler.config.prediction_type == "v_prediction"
        target = self.scheduler.get_velocity(clean, noise, times) if velocity else noise
        device, dtype = self.unet.device, self.unet.dtype
        predicted = self.unet(noisy.to(device, dtype), times.to(device), embeddings.to(dtype)).sample
        return torch.nn.functional.mse_loss(predicted.float(), target.to(device))

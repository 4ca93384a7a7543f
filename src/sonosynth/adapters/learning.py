"""Adaptation of a base to a cohort's training images: the token first, then the LoRA, or a whole U-Net, then a control.

All minimise the error of the predicted noise (Ho et al., NeurIPS 2020, eq. 14; velocity where the base
predicts that). Latents are encoded once, mirror images included; but for the token, the prompts are, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import ControlNetModel, DDPMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from sonosynth.adapters import control as steering
from sonosynth.adapters import lora as low_rank
from sonosynth.adapters import token as inversion
from sonosynth.adapters import unet as whole
from sonosynth.adapters.diagnostic import Encoders, low_noise, predicted_clean
from sonosynth.adapters.settings import Control, Lora, Token, Unet
from sonosynth.adapters.training import Loss, Schedule, make_accelerator, train
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents, encode_prompts, tokenize

SMALL = 1024
"""Largest latent, in positions, with full attention: all pairs are held in memory. 256 pixels in Stable Diffusion."""


@dataclass(frozen=True)
class Examples:
    """What a base is adapted to: the latents of N images and the prompt of each, with its token if that is learned.

    balanced: whether every class, that is every different prompt, is seen equally often, or every image. masks: in the
    order of the latents, with which they are mirrored, (2N, H, W) bool, if a control is learned.
    """

    latents: Latents
    prompts: Sequence[str]
    balanced: bool = False
    masks: Tensor | None = None


def with_token(prompt: str, token: str | None) -> str:
    """The prompt with a learned token, which is appended in training and in inference; itself without one."""
    return f"{prompt} {token}" if token else prompt


def learn_token(
    settings: Token, text: str, base: sd1.Base, examples: Examples, *, precision: str, seed: int, work: Path, out: Path
) -> tuple[list[float], dict[str, float]]:
    """Textual inversion of the token `text`, which is appended to the prompts.

    Writes it into the folder `out`, and checkpoints into `work`. Returns the losses, and how far the vector
    moved: its norm before and after, the distance between the two and the cosine of the angle.
    """
    accelerator = make_accelerator(precision, settings.accumulation)
    pipeline = sd1.load(base.folder, sd1.DTYPES[precision], accelerator.device, without=("vae",))
    new = inversion.add(pipeline, text, settings.init)
    prompts = [with_token(prompt, text) for prompt in examples.prompts]
    inversion.check_present(pipeline, [text], prompts)
    distinct, rows = _distinct(prompts)
    tokens = tokenize(pipeline.tokenizer, distinct)
    error = _noise_error(pipeline, examples.latents)
    before = new.vector.detach().clone()

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        needed, places = rows[indices].unique(return_inverse=True)
        embeddings = encode_prompts(pipeline.text_encoder, tokens[needed])
        return error(indices, embeddings[places.to(embeddings.device)], generator)

    schedule = Schedule.of(settings, weight_decay=0)
    with inversion.override_embedding(pipeline, new):
        losses = train(
            f"token {text}", [new.vector], loss_of, _strata(rows, examples), schedule,
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
    settings: Lora, base: sd1.Base, examples: Examples, *, precision: str, seed: int, work: Path, out: Path,
    encoders: Encoders | None = None,
) -> list[float]:  # fmt: skip
    """LoRA on the base, with the learned tokens in the folder `out`, if any: every prompt must contain one of them.

    Writes `pytorch_lora_weights.safetensors` into `out`, and checkpoints into `work`; returns the losses, which include
    the diagnostic term.

    Args:
        encoders: of the examples, for that term.
    """
    accelerator = make_accelerator(precision, settings.accumulation)
    load = partial(sd1.load, base.folder, sd1.DTYPES[precision], accelerator.device)
    embeddings, rows = _embed(load(without=("vae", "unet")), examples.prompts, out)
    pipeline = load(without=("vae", "text_encoder"))
    error = _noise_error(pipeline, examples.latents, encoders, settings.diagnostic)
    parameters = low_rank.attach(pipeline, settings.rank, settings.layers, seed)

    # peft would cast all inputs to its weights' float32, and autocast would cast them back.
    with disable_input_dtype_casting(pipeline.unet):
        # One name for all adapters, so that those with and without a token see the same images, noise and timesteps.
        losses = train(
            "LoRA", parameters, _under(rows, embeddings, error, settings.drop_prompt), _strata(rows, examples),
            Schedule.of(settings), accelerator=accelerator, seed=seed, checkpoint=work / "lora.safetensors",
        )  # fmt: skip
    low_rank.save(pipeline, out)
    return losses


def learn_unet(
    settings: Unet, base: sd1.Base, examples: Examples, *, precision: str, seed: int, work: Path, out: Path
) -> list[float]:
    """All weights of a U-Net with the base's architecture, under the prompts as the base's text encoder embeds them.

    The weights are float32 while they are trained, whatever the `precision` of the computation: updates are too small
    for less (Micikevicius et al., ICLR 2018).

    Writes `unet/` into `out`, and checkpoints into `work`; returns the losses.
    """
    accelerator = make_accelerator(precision, settings.accumulation)
    load = partial(sd1.load, base.folder, sd1.DTYPES[precision], accelerator.device)
    embeddings, rows = _embed(load(without=("vae", "unet")), examples.prompts, out)
    pipeline = load(without=("vae", "text_encoder"), unet=whole.start(base.folder, settings.start, seed))
    error = _noise_error(pipeline, examples.latents)
    losses = train(
        "U-Net", list(pipeline.unet.requires_grad_(True).parameters()),
        _under(rows, embeddings, error, settings.drop_prompt), _strata(rows, examples), Schedule.of(settings),
        accelerator=accelerator, seed=seed, checkpoint=work / "unet.safetensors",
    )  # fmt: skip
    whole.save(pipeline.unet, sd1.DTYPES[precision], out)
    return losses


def learn_control(
    settings: Control, base: sd1.Base, examples: Examples, *, weights: Path | None, precision: str, seed: int,
    work: Path, out: Path,
) -> list[float]:  # fmt: skip
    """A control branch for the base as the adapter in the folder `out` has adapted it, which stays as it is.

    The weights are float32 while they are trained, as those of a whole U-Net.

    Writes `control/` into `out`, and checkpoints into `work`; returns the losses.

    Args:
        examples: with masks. weights: the folder of a ControlNet that it starts from; None: the U-Net.
    """
    assert examples.masks is not None
    accelerator = make_accelerator(precision, settings.accumulation)
    load = partial(sd1.load, base.folder, sd1.DTYPES[precision], accelerator.device)
    embeddings, rows = _embed(load(without=("vae", "unet")), examples.prompts, out)
    pipeline = load(without=("vae", "text_encoder"), unet=whole.load(out, sd1.DTYPES[precision]))
    low_rank.load(pipeline, out)
    factor = examples.masks.shape[-1] // examples.latents.mean.shape[-1]
    network = steering.start(pipeline.unet, factor, weights, seed).to(accelerator.device).requires_grad_(True)
    error = _noise_error(pipeline, examples.latents, control=(network, examples.masks))
    losses = train(
        "control", list(network.parameters()), _under(rows, embeddings, error, settings.drop_prompt),
        _strata(rows, examples), Schedule.of(settings), accelerator=accelerator, seed=seed,
        checkpoint=work / "control.safetensors",
    )  # fmt: skip
    steering.save(network, sd1.DTYPES[precision], out)
    return losses


def _under(rows: Tensor, embeddings: Tensor, error: "_noise_error", dropped: float) -> Loss:
    """The `error` of images under their prompts, of which a share is dropped; rows, embeddings: see `_embed`."""

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        chosen = rows[indices]
        if dropped:
            chosen = chosen.masked_fill(torch.rand(len(chosen), generator=generator) < dropped, -1)  # the empty prompt
        return error(indices, embeddings[chosen.to(embeddings.device)], generator, prompted=chosen >= 0)

    return loss_of


def _embed(pipeline: StableDiffusionPipeline, prompts: Sequence[str], folder: Path) -> tuple[Tensor, Tensor]:
    """Embeddings of the different prompts and of the empty one (D + 1, length, width); which each of N prompts is."""
    if tokens := inversion.load(pipeline, folder):
        inversion.check_present(pipeline, tokens, prompts)
    distinct, rows = _distinct(prompts)
    with torch.no_grad():
        # The empty one by itself: in the others' batch it could change their rounding.
        parts = [encode_prompts(pipeline.text_encoder, tokenize(pipeline.tokenizer, x)) for x in (distinct, [""])]
    return torch.cat(parts), rows


def _distinct(prompts: Sequence[str]) -> tuple[list[str], Tensor]:
    """The different prompts, and which of them each of the N prompts is: (N,)."""
    distinct = sorted(set(prompts))
    return distinct, torch.tensor([distinct.index(prompt) for prompt in prompts])


def _strata(rows: Tensor, examples: Examples) -> list[Tensor]:
    """The images that are drawn from in turn: those of each class, or all; rows: which prompt each has, (N,)."""
    if not examples.balanced:
        return [torch.arange(len(rows))]
    return [(rows == row).nonzero()[:, 0] for row in rows.unique()]


class _noise_error:
    """The denoising loss of a batch of latents under given prompt embeddings, and the diagnostic term if it has one.

    That is `weight` times the cross-entropy of the encoders on the predicted clean latents, summed over those at low
    noise, divided by the size of the batch. With a control branch and the masks of the latents, that steers the U-Net.
    """

    def __init__(
        self, pipeline: StableDiffusionPipeline, latents: Latents, encoders: Encoders | None = None,
        weight: float = 0.0, control: tuple[ControlNetModel, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.unet, self.latents, self.weight, self.control = pipeline.unet, latents, weight, control
        self.encoders = encoders.to(self.unet.device) if encoders and weight else None
        self.scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        small = latents.mean[0, 0].numel() <= SMALL
        if small and self.unet.device.type == "cpu" and self.unet.dtype == torch.bfloat16:
            # There, the backward pass of torch's fused attention is so slow that it costs a seventh of a step.
            for network in (self.unet, *(control or ())[:1]):
                network.set_attn_processor(AttnProcessor())

    def __call__(
        self, indices: Tensor, embeddings: Tensor, generator: torch.Generator, *, prompted: Tensor | None = None
    ) -> Tensor:
        """The loss of the images `indices` (B,).

        Args:
            prompted: which of them have a prompt (B,); the others get no diagnostic term: without one, the U-Net is
                not to know what they show.
        """
        places = self.latents.mirrored(indices, generator)
        clean = self.latents.drawn(places, generator)
        noise = torch.randn(clean.shape, generator=generator)
        steps = self.scheduler.config.num_train_timesteps
        times = torch.randint(0, steps, (len(clean),), generator=generator)
        noisy = self.scheduler.add_noise(clean, noise, times)
        velocity = self.scheduler.config.prediction_type == "v_prediction"
        target = self.scheduler.get_velocity(clean, noise, times) if velocity else noise
        device, dtype = self.unet.device, self.unet.dtype
        given = noisy.to(device, dtype), times.to(device), embeddings.to(dtype)
        steered = steering.residuals(self.control[0], *given, self.control[1][places]) if self.control else {}
        predicted = self.unet(*given, **steered).sample.float()
        error = torch.nn.functional.mse_loss(predicted, target.to(device))
        if self.encoders:
            judged = low_noise(self.scheduler, times)
            rows = (judged if prompted is None else judged & prompted).nonzero()[:, 0]
            seen = predicted_clean(self.scheduler, noisy[rows].to(device), predicted[rows.to(device)], times[rows])
            error = error + self.weight * self.encoders.errors(seen, indices[rows]).sum() / len(indices)
        return error

"""The second edition of the embedded base: a sharper decoder, and a control branch.

It continues from the first edition (`pretrain_base`), whose latents stay what they are: encoder, text encoder,
tokenizer and U-Net are its own. Decoder: an L1 loss and the texture at a few lags left it with little of the spectrum
above an eighth of the sampling rate, and with a diagonal pattern that no lag sees; the spectrum is in the loss now, and
the training images have more looks. Control branch: as ControlNet (Zhang et al., ICCV 2023), from the phantoms' masks.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch import Tensor
from torch.nn import functional as F

from pretrain_base import ALL_LAGS, crops_of, denoising_loss, latents_of, reconstructed, save, texture_loss
from sonosynth.adapters import control
from sonosynth.adapters.training import Loss, Schedule, train

DECODER = Schedule(steps=1000, batch=16, learning_rate=5e-4, warmup=50, decay=True)
CONTROL = Schedule(steps=1200, batch=16, learning_rate=5e-4, warmup=50, decay=True, average=0.995)
SCHEDULES = {"decoder": DECODER, "control": CONTROL}

SPECTRUM = 0.05
"""Weight of the spectrum in the decoder's loss."""
FLOOR = 1e-3
"""Of energies in the spectrum, whose logarithms are compared."""
GAMMA, BLURRED, BLUR = (0.7, 1.4), 0.4, 1.2
"""Looks of training images: the exponent of their grey map, the share that is blurred, and the largest blur (standard
deviation in pixels): scanners smooth more, and less, than the simulated ones."""
UNPROMPTED = 0.5
"""Share of the control branch's samples without a caption, so that it learns to go by the mask (Zhang et al.)."""


def pretrain(
    first: Path,
    images: np.ndarray,
    masks: np.ndarray,
    prompts: list[str],
    accelerator: Accelerator,
    seed: int,
    work: Path,
    out: Path,
) -> None:
    """Train the second edition from the `first`, a folder, and save it as a Stable Diffusion folder `out`.

    Args:
        images: (N, H, W) uint8 grey. masks: (N, H, W) bool, of lesions. prompts: N captions.
        work: folder of checkpoints; an interrupted run continues from them.
    """
    work.mkdir(parents=True, exist_ok=True)
    pipeline = StableDiffusionPipeline.from_pretrained(first, safety_checker=None, torch_dtype=torch.float32)
    vae, unet, text_encoder = pipeline.vae, pipeline.unet, pipeline.text_encoder
    for network in (vae, unet, text_encoder):
        network.to(accelerator.device).requires_grad_(False)
    for network in (vae, unet):
        network.to(memory_format=torch.channels_last)
    fit = partial(train, strata=[torch.arange(len(images))], accelerator=accelerator, seed=seed)

    decoder = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    for parameter in decoder:
        parameter.requires_grad_(True)
    sharper = decoder_loss(vae, images)
    fit("sharper decoder", decoder, sharper, schedule=DECODER, checkpoint=work / "decoder.safetensors")

    latents = latents_of(vae, images, accelerator, work / "latents.safetensors") * vae.config.scaling_factor
    branch = control.start(unet, factor=4, weights=None, seed=seed)
    branch.to(accelerator.device, memory_format=torch.channels_last)
    shown = torch.from_numpy(masks)
    steered = denoising_loss(
        unet, text_encoder, pipeline.tokenizer, pipeline.scheduler, latents, prompts, dropped=UNPROMPTED,
        steered=lambda indices, noisy, times, embeddings: control.residuals(
            branch, noisy, times, embeddings, shown[indices]
        ),
    )  # fmt: skip
    fit("control", list(branch.parameters()), steered, schedule=CONTROL, checkpoint=work / "control.safetensors")
    save(pipeline, out)
    control.save(branch, torch.float16, out)


def decoder_loss(vae: AutoencoderKL, images: np.ndarray) -> Loss:
    """The loss of a batch of crops: L1 error, and differences in texture and spectrum."""

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        target = with_looks(crops_of(images, indices, generator), generator).to(vae.device)
        output, _ = reconstructed(vae, target, generator)
        loss = F.l1_loss(output, target) + texture_loss(output, target, ALL_LAGS)
        return loss + SPECTRUM * spectrum_loss(output, target)

    return loss_of


def spectrum_loss(images: Tensor, targets: Tensor) -> Tensor:
    """The difference in spectrum of two batches (N, 3, S, S): mean absolute difference of the logarithms of energy.

    Energies are those of each image, averaged over 3 x 3 frequencies, and of each frequency, averaged over the batch:
    the former ask for as much texture in each image, the latter for none that all images share.
    """

    def energy(grey: Tensor) -> Tensor:
        window = torch.hann_window(grey.shape[-1], periodic=False, device=grey.device)
        centred = grey - grey.mean(dim=(-2, -1), keepdim=True)
        found: Tensor = torch.fft.rfft2(centred * window[:, None] * window).abs().square()
        return found

    found, wanted = (energy(batch.mean(dim=1, keepdim=True)) for batch in (images, targets))
    smooth = partial(F.avg_pool2d, kernel_size=3, stride=1)
    pairs = ((smooth(found), smooth(wanted)), (found.mean(dim=0), wanted.mean(dim=0)))
    return torch.stack([F.l1_loss((a + FLOOR).log(), (b + FLOOR).log()) for a, b in pairs]).sum()


def with_looks(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, 3, S, S) from -1 to 1, each with another grey map, mirrored or not, some of them blurred."""
    count = len(images)
    gamma, shares, blurs, mirrored = (torch.rand(count, generator=generator) for _ in range(4))
    gamma = GAMMA[0] + (GAMMA[1] - GAMMA[0]) * gamma
    looks = 2 * ((images[:, 0] + 1) / 2) ** gamma[:, None, None] - 1
    looks = torch.where(mirrored[:, None, None] < 0.5, looks.flip(-1), looks)
    deviations = torch.where(shares < BLURRED, BLUR * blurs, 0).clamp(min=1e-2)
    reach = torch.arange(-4, 5)
    kernel = torch.exp(-0.5 * (reach / deviations[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True))[:, None]
    with torch.autocast("cpu", enabled=False):
        looks = F.conv2d(F.pad(looks[None], (4, 4, 0, 0), mode="reflect"), kernel[:, :, None, :], groups=count)
        looks = F.conv2d(F.pad(looks, (0, 0, 4, 4), mode="reflect"), kernel[:, :, :, None], groups=count)
    return looks[0][:, None].expand(-1, 3, -1, -1)

"""The recipe of the embedded base: a small latent-diffusion model in Stable Diffusion format.

A VAE with 4 x downsampling (speckle does not survive 8 x at 128 pixels), a CLIP-style text encoder with a
tokenizer of its own, and a conditional U-Net, as in Rombach et al., CVPR 2022. The U-Net predicts the velocity
(Salimans and Ho, ICLR 2022) on a noise schedule that ends in pure noise (Lin et al., WACV 2024), so that dark and
bright cohorts can be learned. It is trained from scratch on simulated images only.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sonosynth.adapters.training import Loss, Schedule, train
from sonosynth.bases.latents import encode_prompts, to_tensor, tokenize

TOKENS = 77

Lags = tuple[tuple[int, int], ...]
Steered = Callable[[Tensor, Tensor, Tensor, Tensor], dict[str, Any]]
"""From the indices (B,) of the samples, the noisy latents, their times and the encoded prompts to more arguments."""

# Words of medical ultrasound, so that prompts about other organs are split into few tokens. They get their
# meaning from adaptation: only the words of the simulated images' prompts are pretrained.
VOCABULARY = """ultrasound image of a an the breast lesion tissue benign malignant normal cyst solid nodule mass tumor
tumour thyroid liver kidney ovary ovarian fetal fetus head abdomen femur brain heart cardiac echocardiogram lung
b-mode bmode sonogram sonography scan picture photo showing with without and in on at high low frequency gain deep
shallow depth smooth spiculated posterior enhancement shadowing shadow bright dark fine coarse speckle texture left
right view transverse longitudinal carcinoma fibroadenoma lymph node muscle tendon nerve vessel artery vein carotid
prostate bladder gallbladder pancreas spleen uterus healthy abnormal cancer disease fatty fibrosis stone grade birads
class type patient medical grey gray scale dense natural black white noisy clear sharp blurred small large round oval
irregular"""


# How long each part trains: all of it within 2 hours on 2 cores.
VAE = Schedule(steps=2400, batch=16, learning_rate=2e-3, warmup=50, decay=True)
DECODER = Schedule(steps=600, batch=16, learning_rate=5e-4, warmup=50, decay=True)
UNET = {
    "U-Net": Schedule(steps=2500, batch=16, learning_rate=5e-4, warmup=100, decay=True),
    "U-Net, second cycle": Schedule(steps=2000, batch=16, learning_rate=5e-4, warmup=100, decay=True),
}
"""Cycles, each from a high learning rate down to zero (Loshchilov and Hutter, ICLR 2017)."""

CROP = 64  # side of the VAE's training images: four times as many steps as whole images allow

LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 4), (4, 0))
ALL_LAGS = (*((0, x) for x in (1, 2)), *((y, x) for y in (1, 2) for x in (-2, -1, 0, 1, 2)), (0, 4), (4, 0))
"""Distances in pixels, down and across, at which the VAE has to keep the texture: first a few, to learn fast; then,
for the decoder alone, those in every direction, or it weaves a fine pattern along a diagonal that no lag covers."""


def pretrain(
    images: np.ndarray, prompts: list[str], accelerator: Accelerator, seed: int, work: Path, out: Path
) -> None:
    """Train the embedded base and save it, U-Net and VAE in half precision, as a Stable Diffusion folder `out`.

    Args:
        images: (N, H, W) uint8 grey. prompts: N captions.
        work: folder of checkpoints; an interrupted run continues from them.
    """
    torch.manual_seed(seed)  # the initial weights; every later draw is a named stream
    vae, unet, text_encoder = _models()
    tokenizer = _tokenizer(prompts, work / "tokenizer")
    device = accelerator.device
    fit = partial(train, strata=[torch.arange(len(images))], accelerator=accelerator, seed=seed)

    vae.to(device, memory_format=torch.channels_last)
    everything = list(vae.parameters())
    fit("VAE", everything, _vae_loss(vae, images, LAGS), schedule=VAE, checkpoint=work / "vae.safetensors")
    decoder = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    vae.requires_grad_(False)
    for parameter in decoder:
        parameter.requires_grad_(True)
    fit("decoder", decoder, _vae_loss(vae, images, ALL_LAGS), schedule=DECODER, checkpoint=work / "decoder.safetensors")
    latents = latents_of(vae, images, accelerator, work / "latents.safetensors")
    scale = float(1 / latents.std())
    vae.register_to_config(scaling_factor=scale)

    unet.to(device, memory_format=torch.channels_last)
    text_encoder.to(device)
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip
    loss_of = denoising_loss(unet, text_encoder, tokenizer, scheduler, latents * scale, prompts)
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    for name, schedule in UNET.items():
        fit(name, parameters, loss_of, schedule=schedule, checkpoint=work / f"{name}.safetensors")
    save(StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ), out)  # fmt: skip


def save(pipeline: StableDiffusionPipeline, out: Path) -> None:
    """Save it as a Stable Diffusion folder `out`, U-Net and VAE in half precision."""
    for module in (pipeline.vae, pipeline.unet):
        module.to("cpu", torch.float16, memory_format=torch.contiguous_format)
    # It stays float32: transformers would load half precision as such, diffusers would not.
    pipeline.text_encoder.to("cpu")
    pipeline.save_pretrained(out, safe_serialization=True)


def denoising_loss(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: DPMSolverMultistepScheduler,
    latents: Tensor,
    prompts: list[str],
    *,
    dropped: float = 0.1,
    steered: Steered | None = None,
) -> Loss:
    """The loss of a batch: the weighted error of the predicted velocity.

    Args:
        latents: (N, C, h, w), scaled. prompts: N captions. dropped: share of the captions that are left out, for
            classifier-free guidance. steered: what a control branch adds to the U-Net's arguments.
    """
    noising = DDPMScheduler.from_config(scheduler.config)
    # As min-SNR-5 (Hang et al., ICCV 2023), shifted by one so that pure noise counts: SNR + 1 = 1 / (1 - alpha).
    weights = (1 / (1 - noising.alphas_cumprod)).clamp(max=6) * (1 - noising.alphas_cumprod)
    tokens, empty = tokenize(tokenizer, prompts), tokenize(tokenizer, [""])
    device = unet.device

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        clean = latents[indices]
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(0, len(weights), (len(indices),), generator=generator)
        left_out = torch.rand(len(indices), generator=generator) < dropped
        captions = torch.where(left_out[:, None], empty, tokens[indices])
        noisy, velocity = noising.add_noise(clean, noise, times), noising.get_velocity(clean, noise, times)
        given = noisy.to(device), times.to(device), encode_prompts(text_encoder, captions.to(device))
        added = steered(indices, *given) if steered else {}
        predicted = unet(*given, **added).sample.float()
        errors = (predicted - velocity.to(device)).square().mean(dim=(1, 2, 3))
        return (errors * weights[times].to(device)).mean()

    return loss_of


def _models() -> tuple[AutoencoderKL, UNet2DConditionModel, CLIPTextModel]:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=1024,
            hidden_size=128,
            intermediate_size=512,
            projection_dim=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    return vae, unet, text_encoder


def _tokenizer(prompts: list[str], folder: Path) -> CLIPTokenizer:
    """A CLIP byte-pair tokenizer fitted to the prompts and the vocabulary."""
    fitted = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    fitted.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    fitted.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    fitted.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,-()/"
    trainer = trainers.BpeTrainer(
        vocab_size=1020,
        # The words' last letters are named in advance: the trainer would number them in no fixed order.
        special_tokens=["<|startoftext|>", "<|endoftext|>", *(f"{letter}</w>" for letter in letters)],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    fitted.train_from_iterator([VOCABULARY, *sorted(set(prompts))], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    state = json.loads(fitted.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(state["vocab"], ensure_ascii=False))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in state["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS, pad_token="<|endoftext|>")


def _vae_loss(vae: AutoencoderKL, images: np.ndarray, lags: Lags) -> Loss:
    """The loss of a batch of crops: L1 error, difference in texture at `lags`, and a small share of the KL term."""

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        target = crops_of(images, indices, generator).to(vae.device)
        output, posterior = reconstructed(vae, target, generator)
        loss = F.l1_loss(output, target) + texture_loss(output, target, lags)
        return loss + 1e-5 * posterior.kl().mean() / posterior.mean[0].numel()

    return loss_of


def crops_of(images: np.ndarray, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Crops (B, 3, `CROP`, `CROP`), from -1 to 1, of images (N, H, W) uint8: all of the same place."""
    top, left = (int(torch.randint(0, side - CROP + 1, (), generator=generator)) for side in images.shape[1:])
    return to_tensor(images[indices.numpy(), top : top + CROP, left : left + CROP])


def reconstructed(
    vae: AutoencoderKL, target: Tensor, generator: torch.Generator
) -> tuple[Tensor, DiagonalGaussianDistribution]:  # fmt: skip
    """What is decoded from latents (drawn) of a batch (B, 3, S, S), and their distribution."""
    posterior = vae.encode(target).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(target.device)
    return vae.decode(posterior.mean + posterior.std * noise).sample.float(), posterior


def texture_loss(images: Tensor, targets: Tensor, lags: Lags) -> Tensor:
    """The difference in texture of two batches (N, 3, H, W): mean absolute difference of their local structure.

    The structure is the root mean square of the grey differences between pixels (down, across) apart, in windows of 8
    pixels (the root of the second-order structure function). An L1 loss alone replaces detail that it can't place
    with blur; this one asks for as much speckle, of the same grain, wherever it may be.
    """

    def structure(grey: Tensor, down: int, across: int) -> Tensor:
        height, width = grey.shape[-2:]
        left, right = max(0, -across), max(0, across)
        here = grey[:, :, : height - down, left : width - right]
        steps = grey[:, :, down:, right : width - left] - here
        return (F.avg_pool2d(steps.square(), 8, stride=4) + 1e-4).sqrt()

    grey, wanted = images.mean(dim=1, keepdim=True), targets.mean(dim=1, keepdim=True)
    losses = [F.l1_loss(structure(grey, *lag), structure(wanted, *lag)) for lag in lags]
    return torch.stack(losses).mean()


def latents_of(vae: AutoencoderKL, images: np.ndarray, accelerator: Accelerator, cache: Path) -> Tensor:
    """(N, 4, 32, 32) float32, not scaled, of images (N, 128, 128) uint8; kept in the file `cache`."""
    if not cache.exists():
        with torch.no_grad(), accelerator.autocast():
            parts = [
                vae.encode(to_tensor(images[i : i + 32]).to(accelerator.device)).latent_dist.mean.float().cpu()
                for i in range(0, len(images), 32)
            ]
        save_file({"latents": torch.cat(parts).contiguous()}, cache)
    return load_file(cache)["latents"]

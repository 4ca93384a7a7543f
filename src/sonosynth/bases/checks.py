"""Check that a base is complete and its parts fit together, before anything is trained."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from safetensors import safe_open
from transformers import CLIPTokenizer

from sonosynth import hub
from sonosynth.bases import sd1
from sonosynth.bases.latents import tokenize
from sonosynth.errors import UserError, first_line, loading

PREDICTIONS = ("epsilon", "v_prediction")  # what adapters are trained to predict
MAX_STEPS = 100_000  # of the noise schedule; Stable Diffusion has 1000


@cache  # a base is its files' digest, so one that passed need not be loaded again in this process
def check(base: sd1.Base, resolution: int) -> None:
    """Load every part of the base, with memory-mapped weights, and compare the parts.

    Raises:
        UserError: if weights are missing or not finite, a part can't be loaded, or the parts can't work together on
            images of `resolution` x `resolution` pixels.
    """
    what = f"base {base.name}"
    networks = {}
    for part in sd1.NETWORKS:
        with loading(f"{what}: {part}", sd1.EXPECTED):
            dtype = _stored_dtype(base.folder / part)
        networks[part] = sd1.load_network(base.folder, part, dtype)
        hub.check_finite(networks[part], f"{what}: {part}")
    tokenizer = sd1.load_tokenizer(base.folder)
    _check_tokenizer(tokenizer, networks["text_encoder"].config, what)
    _check_scheduler(base.folder, what)
    _check_widths({part: network.config for part, network in networks.items()}, what)
    try:
        _rehearse(networks, resolution, tokenizer.model_max_length)
    except Exception as error:
        raise UserError(
            f"{what}: its networks can't process images of {resolution} x {resolution} pixels ({first_line(error)})",
            sd1.EXPECTED,
        ) from None


def _stored_dtype(folder: Path) -> torch.dtype:
    """The dtype in which a folder's weights are stored; loading them in it copies nothing."""
    file = min(folder.glob("*.safetensors"), key=lambda file: len(file.name))  # variants have longer names
    with safe_open(file, "pt") as tensors:
        dtype: torch.dtype = tensors.get_tensor(next(iter(tensors.keys()))).dtype
    return dtype


def _check_tokenizer(tokenizer: CLIPTokenizer, encoder: Any, what: str) -> None:
    length, places = tokenizer.model_max_length, encoder.max_position_embeddings
    if not isinstance(length, int) or not 3 <= length <= places:
        raise UserError(
            f"{what}: the tokenizer's model_max_length is {first_line(length)}",
            f"3 to {places}, which its text encoder reads",
        )
    with loading(f"{what}: tokenizer", sd1.EXPECTED):
        largest = max(*tokenizer.get_vocab().values(), int(tokenize(tokenizer, ["a"]).max()))
    if largest >= encoder.vocab_size:
        raise UserError(
            f"{what}: the tokenizer's largest id is {largest}, but its text encoder has {encoder.vocab_size}"
            " embeddings",
            "a tokenizer and a text encoder of one model",
        )


def _check_scheduler(folder: Path, what: str) -> None:
    file = folder / "scheduler" / "scheduler_config.json"
    steps = hub.read_json(file, what).get("num_train_timesteps", 1000)
    if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
        raise UserError(f"{what}: {file} has {first_line(steps)} for num_train_timesteps", f"1 to {MAX_STEPS}")
    with loading(f"{what}: scheduler", sd1.EXPECTED):
        config = sd1.load_scheduler(folder).config
        signal = DDPMScheduler.from_config(config).alphas_cumprod
    if config.get("prediction_type") not in PREDICTIONS:
        raise UserError(
            f"{what}: {file} has {first_line(config.get('prediction_type'))} for prediction_type",
            " or ".join(PREDICTIONS),
        )
    if not (signal[0] <= 1 and signal[-1] >= 0 and (signal.diff() <= 0).all()):
        raise UserError(
            f"{what}: {file} has an invalid noise schedule", "alphas_cumprod that falls monotonically within 1 to 0"
        )


def _check_widths(configs: dict[str, Any], what: str) -> None:
    vae, unet, encoder = configs["vae"], configs["unet"], configs["text_encoder"]
    pairs = (
        ("unet's cross_attention_dim", unet.cross_attention_dim, "text_encoder's hidden_size", encoder.hidden_size),
        ("unet's in_channels", unet.in_channels, "vae's latent_channels", vae.latent_channels),
        ("unet's out_channels", unet.out_channels, "vae's latent_channels", vae.latent_channels),
        ("vae's in_channels", vae.in_channels, "channels of an image", 3),
        ("vae's out_channels", vae.out_channels, "channels of an image", 3),
    )
    wrong = [f"{one} is {first_line(x)}, the {other} {y}" for one, x, other, y in pairs if x != y]
    if wrong:
        raise UserError(f"{what}: the {'; the '.join(wrong)}", "parts of one Stable Diffusion 1.x model")
    scale = vae.scaling_factor
    if not isinstance(scale, (int, float)) or not 0 < scale < float("inf"):
        raise UserError(f"{what}: the vae's scaling_factor is {first_line(scale)}", "a number above 0")


@torch.no_grad()
def _rehearse(networks: dict[str, Any], resolution: int, length: int) -> None:
    """Pass one image through all networks on torch's meta device, on which tensors have a shape and no values."""
    vae, unet, encoder = (networks[part].to("meta") for part in ("vae", "unet", "text_encoder"))
    with torch.device("meta"):
        image = torch.empty(1, 3, resolution, resolution, dtype=vae.dtype)
        embeddings = encoder(torch.zeros(1, length, dtype=torch.long))[0]
        latent = vae.encode(image).latent_dist.mean
        time = torch.zeros(1, dtype=torch.long)
        predicted = unet(latent.to(unet.dtype), time, embeddings.to(unet.dtype)).sample
        decoded = vae.decode(predicted.to(vae.dtype)).sample
    if decoded.shape != image.shape:
        raise ValueError(f"they become {decoded.shape[-1]} pixels wide")

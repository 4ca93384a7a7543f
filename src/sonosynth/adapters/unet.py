"""A whole U-Net in the place of the base's: what a diffusion model trained from scratch is, but for VAE and prompts."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from sonosynth import hub, seeding
from sonosynth.bases import sd1
from sonosynth.errors import loading

FOLDER = "unet"


def start(folder: Path, weights: str, seed: int) -> UNet2DConditionModel:
    """A U-Net (float32, on the CPU) with the architecture of the base in `folder`, and its weights before training.

    Args:
        weights: "random", as diffusers initialises them, or "base".

    Raises:
        UserError: if the base's U-Net can't be loaded.
    """
    what = f"base {folder}: {FOLDER}"
    config = hub.read_json(folder / FOLDER / "config.json", what)
    with torch.random.fork_rng(), loading(what, sd1.EXPECTED):
        torch.manual_seed(seeding.derive(seed, "unet"))
        unet: UNet2DConditionModel = UNet2DConditionModel.from_config(config)
    if weights == "base":  # copied: one that is loaded would save the name of its folder
        unet.load_state_dict(sd1.load_network(folder, FOLDER, torch.float32).state_dict())
    return unet


def save(unet: UNet2DConditionModel, dtype: torch.dtype, folder: Path) -> None:
    """Write it into `folder` / `FOLDER`, which diffusers' `UNet2DConditionModel.from_pretrained` reads.

    Args:
        dtype: that of the study, which its sampling would round to anyway; half the space of float32.
    """
    unet.to("cpu", dtype, memory_format=torch.contiguous_format).save_pretrained(folder / FOLDER)


def load(folder: Path, dtype: torch.dtype) -> UNet2DConditionModel | None:
    """The U-Net in `folder` / `FOLDER`, None if there is none; raises UserError if it lacks weights."""
    if not (folder / FOLDER).is_dir():
        return None
    unet: UNet2DConditionModel = hub.load(UNet2DConditionModel, folder / FOLDER, str(folder / FOLDER), dtype=dtype)[0]
    return unet

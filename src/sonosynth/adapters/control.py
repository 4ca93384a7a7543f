"""The control branch: a copy of the U-Net's encoder that steers it by a lesion's mask (ControlNet, Zhang et al., 2023).

It is in the form of diffusers' `ControlNetModel`: the mask is an image of three equal channels, 1 on the lesion.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor

from sonosynth import hub, seeding
from sonosynth.bases import sd1
from sonosynth.errors import UserError, loading

FOLDER = "control"
WIDTHS = (16, 32, 96, 256)  # of the layers that bring an image to the size of the latents; diffusers' for a factor of 8
MUST_FIT = (
    "in_channels", "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim",
    "attention_head_dim", "conditioning_channels", "conditioning_embedding_out_channels",
)  # fmt: skip


def resolve(name: str | None, base: sd1.Base, setting: str) -> hub.Model | None:
    """The ControlNet called `name`, a folder or a hub id; without a name the one that the base brings, if it does.

    Raises:
        UserError: if there is none, or it is for another U-Net or VAE than those of the base.
    """
    expected = f"a ControlNet for {base.name}, in diffusers' format"
    if name is None:
        brought = base.folder / FOLDER
        if not brought.is_dir():
            return None
        name = str(brought)
    found = hub.resolve(name, setting, expected, f"give a folder or a hub id, or remove {setting}")
    own = hub.read_json(found.folder / "config.json", f"{setting}: {name}")
    unet, vae = (hub.read_json(base.folder / part / "config.json", f"base {base.name}") for part in ("unet", "vae"))
    layers = _widths(2 ** (len(vae["block_out_channels"]) - 1))
    wanted = unet | {"conditioning_channels": 3, "conditioning_embedding_out_channels": layers}
    if unfit := [key for key in MUST_FIT if own.get(key, wanted.get(key)) != wanted.get(key)]:
        raise UserError(f"{setting}: {name} differs from the base in {', '.join(unfit)}", expected)
    return found


def _widths(factor: int) -> list[int]:
    """The widths of the layers for a VAE that makes images smaller by `factor`, a power of two."""
    return [*WIDTHS, *WIDTHS[-1:] * sd1.MAX_BLOCKS][: factor.bit_length()]


def start(unet: UNet2DConditionModel, factor: int, weights: Path | None, seed: int) -> ControlNetModel:
    """An untrained control branch (float32): the U-Net's encoder, and zero convolutions, by which it changes nothing.

    Args:
        factor: by which latents are smaller than images. weights: the folder of a ControlNet whose weights it has
            instead.

    Raises:
        UserError: if those can't be loaded.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seeding.derive(seed, "control"))
        network: ControlNetModel = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=_widths(factor))
    if weights:  # copied: one that is loaded would save the name of its folder
        with loading(f"control {weights}", "a ControlNet for this base"):
            network.load_state_dict(_load(weights, torch.float32).state_dict())
    return network.float()


def save(network: ControlNetModel, dtype: torch.dtype, folder: Path) -> None:
    """Write it into `folder` / `FOLDER`, which diffusers' `ControlNetModel.from_pretrained` reads.

    Args:
        dtype: that of the study, as for a whole U-Net.
    """
    network.to("cpu", dtype, memory_format=torch.contiguous_format).save_pretrained(folder / FOLDER)


def load(folder: Path, dtype: torch.dtype) -> ControlNetModel:
    """The control branch in `folder` / `FOLDER`, frozen; raises UserError if there is none or it lacks weights."""
    return _load(folder / FOLDER, dtype).requires_grad_(False).eval()


def _load(folder: Path, dtype: torch.dtype) -> ControlNetModel:
    found: ControlNetModel = hub.load(ControlNetModel, folder, str(folder), dtype=dtype)[0]
    return found


def residuals(
    network: ControlNetModel, noisy: Tensor, times: Tensor, embeddings: Tensor, masks: Tensor
) -> dict[str, Any]:
    """What a control branch adds within the U-Net, as keyword arguments of that.

    Args:
        noisy, times, embeddings: as the U-Net takes them. masks: (B, H, W) bool, of the images.
    """
    images = masks[:, None].expand(-1, 3, -1, -1).to(noisy.device, noisy.dtype)
    down, middle = network(
        noisy, times, encoder_hidden_states=embeddings, controlnet_cond=images, return_dict=False
    )  # fmt: skip
    down, middle = [x.to(noisy.dtype) for x in down], middle.to(noisy.dtype)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

"""Low-rank adaptation of the U-Net (Hu et al., ICLR 2022), through peft."""

from pathlib import Path

import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open

from sonosynth import disk, seeding
from sonosynth.errors import UserError, first_line

FILE = "pytorch_lora_weights.safetensors"
FORMAT = {"format": "pt"}
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TARGETS = {"attention": ATTENTION, "all": [*ATTENTION, "conv1", "conv2"]}
"""What `lora.layers` adapts: attention projections, or the residual blocks' convolutions, too."""


def attach(pipeline: StableDiffusionPipeline, rank: int, layers: str, seed: int) -> list[torch.nn.Parameter]:
    """Add an untrained LoRA (float32, zero effect) to the `layers` of the U-Net; return its parameters."""
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS[layers])
    with torch.random.fork_rng():
        torch.manual_seed(seeding.derive(seed, "lora"))
        pipeline.unet.add_adapter(config)
    parameters = [p for p in pipeline.unet.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    return parameters


def save(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write `FILE` into `folder`, which diffusers' `load_lora_weights` reads."""
    # peft's own names: diffusers' older ones exist only for attention, and its loader drops one kind of a mixture.
    layers = get_peft_model_state_dict(pipeline.unet)
    layers = {name: value.detach().float().cpu().contiguous() for name, value in layers.items()}
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=layers, weight_name=FILE,
        save_function=lambda tensors, path: disk.write_bytes(Path(path), safetensors.torch.save(tensors, FORMAT)),
    )  # fmt: skip


def load(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Load the LoRA in `folder`, if there is one, with diffusers' own loader; merge it into the U-Net's weights.

    Unmerged, it would make every pass of a small U-Net take half as long again.

    Raises:
        UserError: if it was made for another base.
        RuntimeError: if the loader left a layer out.
    """
    if not (folder / FILE).is_file():
        return
    try:
        pipeline.load_lora_weights(folder, weight_name=FILE, use_safetensors=True)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise UserError(
            f"{folder / FILE}: does not fit the base ({first_line(error)})", "a LoRA for this study's base"
        ) from None
    with safe_open(folder / FILE, "pt") as stored:
        expected = len(list(stored.keys()))
    adapter = pipeline.unet.active_adapters()[0]
    if len(get_peft_model_state_dict(pipeline.unet, adapter_name=adapter)) != expected:
        raise RuntimeError(f"{folder / FILE}: not every layer was loaded")
    pipeline.fuse_lora(components=["unet"])
    pipeline.unload_lora_weights()

"""Trained segmenters as one safetensors file."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sonosynth import device
from sonosynth.tasks.segmentation import segmenter
from sonosynth.tasks.segmentation.segmenter import Trained


def save(segmenters: Sequence[Trained]) -> bytes:
    """The file that `load` reads: of each, the weights as N.model.NAME, N.shift and N.scale."""
    tensors: dict[str, Tensor] = {}
    for number, one in enumerate(segmenters):
        own = {f"model.{name}": tensor.detach().cpu() for name, tensor in one.model.state_dict().items()}
        own |= {name: torch.tensor(getattr(one, name), dtype=torch.float64) for name in ("shift", "scale")}
        tensors |= {f"{number}.{name}": tensor.contiguous() for name, tensor in own.items()}
    return safetensors.torch.save(tensors)


def load(path: Path, count: int) -> list[Trained]:
    """The `count` segmenters in a file of `save`."""
    tensors, place = safetensors.torch.load_file(path), device.best()
    found = []
    for number in range(count):
        prefix = f"{number}.model."
        model = segmenter.unet(0)
        model.load_state_dict({k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)})
        shift, scale = (tensors[f"{number}.{name}"].item() for name in ("shift", "scale"))
        found.append(Trained(model.to(place), shift, scale, place))
    return found

"""Trained classifiers as one safetensors file."""

from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sonosynth import device
from sonosynth.tasks.classification import models
from sonosynth.tasks.classification.classifier import Preprocessor, Trained
from sonosynth.tasks.classification.models import Network, Start


def save(classifiers: Sequence[Trained], *, halved: bool = False) -> bytes:
    """The file that `load` reads: of each, the weights as N.network.NAME, N.shift and N.scale.

    Args:
        halved: whether weights are stored in half precision, but for tensors with values that it has no numbers for.
    """
    tensors: dict[str, Tensor] = {}
    for number, one in enumerate(classifiers):
        own = {f"network.{name}": tensor for name, tensor in one.network.module.state_dict().items()}
        own = {name: _half(tensor) for name, tensor in own.items()} if halved else own
        own |= {"shift": one.preprocessor.shift, "scale": one.preprocessor.scale}
        # Copies: safetensors wants neither another memory format nor memory that two tensors share.
        tensors |= {f"{number}.{name}": x.detach().cpu().contiguous().clone() for name, x in own.items()}
    return safetensors.torch.save(tensors)


def _half(tensor: Tensor) -> Tensor:
    """A tensor in half precision; as it is if it isn't of floats, or has values beyond 65,504."""
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if half.isfinite().all() else tensor


def load(path: Path, count: int, start: Start, classes: int) -> list[Trained]:
    """The `count` classifiers of `classes` classes in a file of `save`, whose training began from `start`."""
    tensors, place = safetensors.torch.load_file(path), device.best()
    found = []
    for number in range(count):
        prefix = f"{number}.network."
        network: Network = models.make(start, classes, 0)
        network.module.load_state_dict({k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)})
        network.module.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shift, scale = (tensors[f"{number}.{name}"].to(place) for name in ("shift", "scale"))
        found.append(Trained(network, Preprocessor(shift, scale, place)))
    return found

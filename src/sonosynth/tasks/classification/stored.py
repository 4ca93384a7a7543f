"""Trained classifiers as one safetensors file."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sonosynth import device
from sonosynth.tasks.classification import models
from sonosynth.tasks.classification.classifier import Preprocessor, Trained
from sonosynth.tasks.classification.models import Network, Start
from sonosynth.tasks.stored import below, pack, unpack


def save(classifiers: Sequence[Trained], *, halved: bool = False) -> bytes:
    """The file that `load` reads: of each, the weights as network.NAME, shift and scale.

    Args:
        halved: whether weights are stored in half precision, but for tensors with values that it has no numbers for.
    """
    found = []
    for one in classifiers:
        own = {f"network.{name}": tensor for name, tensor in one.network.module.state_dict().items()}
        own = {name: _half(tensor) for name, tensor in own.items()} if halved else own
        found.append(own | {"shift": one.preprocessor.shift, "scale": one.preprocessor.scale})
    return pack(found)


def _half(tensor: Tensor) -> Tensor:
    """A tensor in half precision; as it is if it isn't of floats, or has values beyond 65,504."""
    half = tensor.half() if tensor.is_floating_point() else tensor
    return half if half.isfinite().all() else tensor


def load(path: Path, count: int, start: Start, classes: int) -> list[Trained]:
    """The `count` classifiers of `classes` classes in a file of `save`, whose training began from `start`."""
    found, place = [], device.best()
    for own in unpack(path, count):
        network: Network = models.make(start, classes, 0)
        network.module.load_state_dict(below(own, "network."))
        network.module.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        found.append(Trained(network, Preprocessor(own["shift"].to(place), own["scale"].to(place), place)))
    return found

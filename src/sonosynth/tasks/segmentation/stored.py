"""Trained segmenters as one safetensors file."""

from collections.abc import Sequence
from pathlib import Path

import torch

from sonosynth import device
from sonosynth.tasks.segmentation import segmenter
from sonosynth.tasks.segmentation.segmenter import Trained
from sonosynth.tasks.stored import below, pack, unpack


def save(segmenters: Sequence[Trained]) -> bytes:
    """The file that `load` reads: of each, the weights as model.NAME, shift and scale."""
    found = []
    for one in segmenters:
        levels = {name: torch.tensor(getattr(one, name), dtype=torch.float64) for name in ("shift", "scale")}
        found.append({f"model.{name}": tensor for name, tensor in one.model.state_dict().items()} | levels)
    return pack(found)


def load(path: Path, count: int) -> list[Trained]:
    """The `count` segmenters in a file of `save`."""
    found, place = [], device.best()
    for own in unpack(path, count):
        model = segmenter.unet(0)
        model.load_state_dict(below(own, "model."))
        found.append(Trained(model.to(place), own["shift"].item(), own["scale"].item(), place))
    return found

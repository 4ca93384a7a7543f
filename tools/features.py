"""The recipe of the embedded feature network: a narrow ResNet-18 that predicts what was simulated, and how."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from sonosynth.adapters.training import Loss, Schedule
from sonosynth.fidelity.networks import prepared

SCHEDULE = Schedule(steps=600, batch=32, learning_rate=2e-3, warmup=50, decay=True)
MEASURES = ("frequency", "depth", "gain", "dynamic_range", "looks", "smoothing", "gamma")
"""Settings of the probe that it has to predict."""


def untrained(outputs: int) -> ResNetForImageClassification:
    """The architecture, with 128 features."""
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=24,
            hidden_sizes=[24, 48, 96, 128],
            depths=[2, 2, 2, 2],
            layer_type="basic",
            num_labels=outputs,
        )
    )


def network_and_loss(
    images: np.ndarray, kinds: np.ndarray, measures: np.ndarray, accelerator: Accelerator, seed: int
) -> tuple[ResNetForImageClassification, Loss]:
    """The untrained network, and the loss that it is pretrained with on simulated images.

    It has to predict the kind of lesion and how the image was taken: cross-entropy of the kind, and
    the squared error of the (standardised) measures.

    Args:
        images: (N, H, W) uint8. kinds: (N,) int. measures: (N, M) float, what `MEASURES` names.
    """
    classes = int(kinds.max()) + 1
    torch.manual_seed(seed)
    network = untrained(classes + measures.shape[1]).to(accelerator.device).train()
    targets = torch.from_numpy(kinds)
    standard = torch.from_numpy((measures - measures.mean(axis=0)) / measures.std(axis=0)).float()

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        inputs = prepared(images[indices.numpy()]).to(accelerator.device)
        if torch.rand((), generator=generator) < 0.5:
            inputs = inputs.flip(-1)
        outputs = network(inputs).logits.float().cpu()
        of_kind = F.cross_entropy(outputs[:, :classes], targets[indices])
        return of_kind + F.mse_loss(outputs[:, classes:], standard[indices])

    return network, loss_of


@torch.no_grad()
def settle(network: ResNetForImageClassification, images: np.ndarray, accelerator: Accelerator) -> None:
    """Set the batch statistics from `images` with the final weights.

    A resumed training has not seen the batches before its checkpoint, so running statistics would depend on it.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    network.train()
    for start in range(0, min(len(images), 1280), 64):
        network(prepared(images[start : start + 64]).to(accelerator.device))
    network.eval()

"""Remedies for few, imbalanced images that make no new ones: the baselines that synthetic images have to beat."""

import numpy as np
import torch
from torch import Tensor


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(classes,) float32 loss weights, inverse to the class counts of `labels` (N,) int, with mean 1 over images."""
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * np.maximum(counts, 1)), dtype=torch.float32)


def mixed(images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """MixUp (Zhang et al., ICLR 2018): a batch (B, ...) and targets (B, K) mixed with themselves in another order."""
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    share = float(rng.beta(alpha, alpha))
    order = torch.randperm(len(images), generator=generator)
    return share * images + (1 - share) * images[order], share * targets + (1 - share) * targets[order]

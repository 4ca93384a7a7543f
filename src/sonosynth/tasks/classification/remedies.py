"""Remedies for few, imbalanced images that make no new ones: the baselines that synthetic images have to beat."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

TURN, SHIFT, ZOOM = 10.0, 0.05, 0.1  # at most: degrees, fraction of the side, fraction of the scale
SPECKLE, GAIN = 0.1, 0.15  # standard deviation of the multiplicative noise; largest change of the gain


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(classes,) float32 loss weights, inverse to the class counts of `labels` (N,) int, with mean 1 over images."""
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * np.maximum(counts, 1)), dtype=torch.float32)


def classical(images: Tensor, generator: torch.Generator, *, speckle: bool = True) -> Tensor:
    """Small random rotations, shifts and zooms, speckle-like noise and gain of `images` (B, 1, H, W), 0 to 1."""

    def drawn(largest: float) -> Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * largest

    angle, scale = torch.deg2rad(drawn(TURN)), 1 + drawn(ZOOM)
    sin, cos = torch.sin(angle) * scale, torch.cos(angle) * scale
    across, down = drawn(2 * SHIFT), drawn(2 * SHIFT)  # grid coordinates span 2
    moves = torch.stack([torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)], 1)
    grid = F.affine_grid(moves, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid.to(images.device), padding_mode="border", align_corners=False)
    noise = 1 + SPECKLE * torch.randn(images.shape, generator=generator) * speckle
    gain = 1 + drawn(GAIN)
    return (moved * (noise * gain[:, None, None, None]).to(images.device)).clamp(0, 1)


def mixed(images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """MixUp (Zhang et al., ICLR 2018): a batch (B, ...) and targets (B, K) mixed with themselves in another order."""
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    share = float(rng.beta(alpha, alpha))
    order = torch.randperm(len(images), generator=generator)
    return share * images + (1 - share) * images[order], share * targets + (1 - share) * targets[order]

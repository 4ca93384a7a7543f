"""Classical augmentation: small changes of images, and of their masks, that keep a label true."""

import torch
from torch import Tensor
from torch.nn import functional as F

TURN, SHIFT, ZOOM = 10.0, 0.05, 0.1  # at most: degrees, fraction of the side, fraction of the scale
SPECKLE, GAIN = 0.1, 0.15  # standard deviation of the multiplicative noise; largest change of the gain


def classical(images: Tensor, generator: torch.Generator, *, speckle: bool = True) -> Tensor:
    """Small random rotations, shifts and zooms, speckle-like noise and gain of `images` (B, 1, H, W), 0 to 1."""
    return noised(moved(images, moves(len(images), generator)), generator, speckle=speckle)


def classical_pairs(
    images: Tensor, masks: Tensor, generator: torch.Generator, *, speckle: bool = True
) -> tuple[Tensor, Tensor]:
    """The same, and the masks (B, 1, H, W), 0 or 1, of the images, moved as these are."""
    where = moves(len(images), generator)
    return noised(moved(images, where), generator, speckle=speckle), (moved(masks, where) >= 0.5).to(masks)


def moves(count: int, generator: torch.Generator) -> Tensor:
    """Random rotations, zooms and shifts as affine maps (count, 2, 3) of the coordinates of `affine_grid`."""
    angle, scale = torch.deg2rad(_drawn(count, TURN, generator)), 1 + _drawn(count, ZOOM, generator)
    sin, cos = torch.sin(angle) * scale, torch.cos(angle) * scale
    across, down = (_drawn(count, 2 * SHIFT, generator) for _ in range(2))  # grid coordinates span 2
    return torch.stack([torch.stack([cos, -sin, across], 1), torch.stack([sin, cos, down], 1)], 1)


def moved(images: Tensor, where: Tensor) -> Tensor:
    """The images (B, 1, H, W), each moved; what lies outside is as the nearest pixel of the edge."""
    grid = F.affine_grid(where, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.device), padding_mode="border", align_corners=False)


def noised(images: Tensor, generator: torch.Generator, *, speckle: bool = True) -> Tensor:
    """The images (B, 1, H, W), 0 to 1, with speckle-like noise and another gain."""
    noise = 1 + SPECKLE * torch.randn(images.shape, generator=generator) * speckle
    gain = 1 + _drawn(len(images), GAIN, generator)
    return (images * (noise * gain[:, None, None, None]).to(images.device)).clamp(0, 1)


def _drawn(count: int, largest: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * 2 - 1) * largest

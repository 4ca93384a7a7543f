"""Changing a part of an image: blended latents (Avrahami et al., CVPR 2022 and ACM Trans. Graph. 42:149, 2023).

After every step, the latents outside the region are those of the image, at the noise level of the next step. A decoder
changes pixels there nevertheless, so they are pasted back in the end, with a feathered edge.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

FEATHER = 1 / 32
"""Width of the edge outside the region in which pixels are mixed, as a share of the image's side: 4 of 128 pixels."""


@dataclass(frozen=True)
class Kept:
    """What stays of N images: their clean latents and the noise on them, (N, C, h, w), but for `region`, (N, 1, h, w)
    bool.
    """

    clean: Tensor
    noise: Tensor
    region: Tensor

    @classmethod
    def outside(cls, regions: np.ndarray, clean: Tensor, noise: Tensor) -> "Kept":
        """All but `regions`, (N, H, W) bool of the images; latents that show any pixel of a region belong to it."""
        pixels = torch.from_numpy(regions).float()[:, None]
        small = F.adaptive_max_pool2d(pixels, tuple(clean.shape[-2:])) > 0
        return cls(clean, noise, small.to(clean.device))

    def into(self, latents: Tensor, scheduler: Any, time: Tensor | None) -> Tensor:
        """The latents with what stays in them, at the noise level of `time`, None for none."""
        kept = self.clean if time is None else scheduler.add_noise(self.clean, self.noise, time.repeat(len(latents)))
        return torch.where(self.region, latents, kept)


def pasted(made: np.ndarray, images: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The regions of what was made, in the images: all (N, H, W), uint8 and, regions, bool.

    Pixels farther from the region than `FEATHER` of the side are the image's own; nearer ones are mixed, linearly.
    """
    width = FEATHER * images.shape[-1]
    away = np.stack(
        [ndimage.distance_transform_edt(~region) if region.any() else np.inf * ~region for region in regions]
    )
    share = np.clip(1 - away / width, 0, 1)
    mixed: np.ndarray = np.rint(share * made + (1 - share) * images).astype(np.uint8)
    return mixed

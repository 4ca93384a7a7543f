"""TrivialAugment (Müller and Hutter, ICCV 2021) for grey images: one operation, at one strength, for each image.

Both are drawn uniformly. The operations are those of the paper's wide space that change a grey image, and the identity;
they are defined by Pillow, whose images have whole grey levels and black outside.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

STRONGEST = 30  # strengths are 0 to 30
SHEAR, SHIFT, TURN = 0.99, 32, 135  # at the strongest: pixels per pixel; pixels, whatever the size; degrees
ENHANCE = (0.01, 2.0)  # factors: weakest, strongest
FEWEST_BITS = 2

Operation = Callable[[Tensor, int], Tensor]
"""Turns the grey levels (H, W), 0 to 255, of an image into others, which are clipped later. The strength is -30 to 30:
its sign is a direction, for operations that have one.
"""


def trivial(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images (B, 1, H, W), 0 to 1, each after an operation of its own."""
    count = len(images)
    chosen = torch.randint(len(OPERATIONS), (count,), generator=generator)
    strengths = torch.randint(STRONGEST + 1, (count,), generator=generator)
    strengths *= 2 * torch.randint(2, (count,), generator=generator) - 1
    levels = (images[:, 0] * 255).round()
    drawn = zip(levels, chosen.tolist(), strengths.tolist(), strict=True)
    changed = torch.stack([OPERATIONS[number](image, strength) for image, number, strength in drawn])
    return changed[:, None].clamp(0, 255) / 255


def identity(image: Tensor, strength: int) -> Tensor:
    """Changes nothing."""
    return image


def shear_x(image: Tensor, strength: int) -> Tensor:
    """Shifts rows, each further than the one above."""
    return _moved(image, (1, SHEAR * strength / STRONGEST, 0), (0, 1, 0))


def shear_y(image: Tensor, strength: int) -> Tensor:
    """Shifts columns, each further than the one to its left."""
    return _moved(image, (1, 0, 0), (SHEAR * strength / STRONGEST, 1, 0))


def translate_x(image: Tensor, strength: int) -> Tensor:
    """Shifts the image sideways by whole pixels."""
    return _moved(image, (1, 0, int(SHIFT * strength / STRONGEST)), (0, 1, 0))


def translate_y(image: Tensor, strength: int) -> Tensor:
    """Shifts the image up or down by whole pixels."""
    return _moved(image, (1, 0, 0), (0, 1, int(SHIFT * strength / STRONGEST)))


def rotate(image: Tensor, strength: int) -> Tensor:
    """Turns the image about its centre by whole degrees."""
    angle = math.radians(int(TURN * strength / STRONGEST))
    cos, sin = math.cos(angle), math.sin(angle)
    y, x = (side / 2 for side in image.shape)
    return _moved(image, (cos, -sin, x - cos * x + sin * y), (sin, cos, y - sin * x - cos * y))


def brightness(image: Tensor, strength: int) -> Tensor:
    """Multiplies all levels."""
    return image * _factor(strength)


def contrast(image: Tensor, strength: int) -> Tensor:
    """Moves levels away from their mean, or towards it."""
    return _away(image, image.mean(), strength)


def sharpness(image: Tensor, strength: int) -> Tensor:
    """Moves levels away from those of the smoothed image, or towards them; the border stays as it is."""
    kernel = torch.ones(1, 1, 3, 3, device=image.device)
    kernel[..., 1, 1] = 5
    smooth = image.clone()
    smooth[1:-1, 1:-1] = F.conv2d(image[None, None], kernel / kernel.sum())[0, 0]
    return _away(image, smooth, strength)


def posterize(image: Tensor, strength: int) -> Tensor:
    """Keeps the leading bits of each level."""
    width = 2 ** int((8 - FEWEST_BITS) * abs(strength) / STRONGEST)
    return (image / width).floor() * width


def solarize(image: Tensor, strength: int) -> Tensor:
    """Inverts the levels from a threshold on."""
    return torch.where(image < 256 - int(256 * abs(strength) / STRONGEST), image, 255 - image)


def autocontrast(image: Tensor, strength: int) -> Tensor:
    """Stretches the levels to the whole range."""
    low, high = image.min(), image.max()
    return (image - low) * 255 / (high - low) if high > low else image


def equalize(image: Tensor, strength: int) -> Tensor:
    """Makes all levels about equally frequent."""
    counts = torch.bincount(image.flatten().long(), minlength=256)
    step = int(counts.sum() - counts[counts > 0][-1]) // 255
    if step == 0:
        return image
    below = counts.cumsum(0) - counts
    return ((below + step // 2) // step).float()[image.long()]


OPERATIONS: tuple[Operation, ...] = (
    identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, contrast, sharpness, posterize, solarize,
    autocontrast, equalize,
)  # fmt: skip


def _moved(image: Tensor, across: tuple[float, float, float], down: tuple[float, float, float]) -> Tensor:
    """At the centre (x, y) of each pixel what `image` (H, W) has at (across, down) · (x, y, 1), black outside it."""
    height, width = image.shape
    x, y = (torch.arange(side, device=image.device) + 0.5 for side in (width, height))
    columns, rows = ((a * x + b * y[:, None] + c).floor().long() for a, b, c in (across, down))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return image[rows.clamp(0, height - 1), columns.clamp(0, width - 1)] * inside


def _factor(strength: int) -> float:
    weakest, strongest = ENHANCE
    return weakest + (strongest - weakest) * abs(strength) / STRONGEST


def _away(image: Tensor, centre: Tensor, strength: int) -> Tensor:
    return centre + (image - centre) * _factor(strength)

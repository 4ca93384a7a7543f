"""TrivialAugment's operations are Pillow's."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from sonosynth.tasks.classification import trivial as module
from sonosynth.tasks.classification.trivial import OPERATIONS, trivial

STRENGTHS = (-30, -17, -1, 0, 8, 21, 30)


def picture(seed, width=48, height=40):
    """Smooth structures, an edge and grain, with levels from 12 to 231."""
    rng = np.random.default_rng(seed)
    rough = Image.fromarray(rng.integers(0, 255, (5, 6)).astype(np.uint8)).resize((width, height))
    grey = np.asarray(rough, float) * 0.7 + rng.normal(0, 9, (height, width))
    grey[: height // 3, : width // 2] += 60
    return np.clip(grey, 12, 231).astype(np.uint8)


def affine(*values):
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, values)


def enhanced(kind, strength):
    return lambda image: kind(image).enhance(0.01 + 1.99 * abs(strength) / 30)


PILLOW = {
    "identity": lambda s: lambda image: image,
    "shear_x": lambda s: affine(1, 0.99 * s / 30, 0, 0, 1, 0),
    "shear_y": lambda s: affine(1, 0, 0, 0.99 * s / 30, 1, 0),
    "translate_x": lambda s: affine(1, 0, int(32 * s / 30), 0, 1, 0),
    "translate_y": lambda s: affine(1, 0, 0, 0, 1, int(32 * s / 30)),
    "rotate": lambda s: lambda image: image.rotate(int(135 * s / 30)),
    "brightness": lambda s: enhanced(ImageEnhance.Brightness, s),
    "contrast": lambda s: enhanced(ImageEnhance.Contrast, s),
    "sharpness": lambda s: enhanced(ImageEnhance.Sharpness, s),
    "posterize": lambda s: lambda image: ImageOps.posterize(image, 8 - int(6 * abs(s) / 30)),
    "solarize": lambda s: lambda image: ImageOps.solarize(image, 256 - int(256 * abs(s) / 30)),
    "autocontrast": lambda s: ImageOps.autocontrast,
    "equalize": lambda s: ImageOps.equalize,
}
OBLIQUE = ("shear_x", "shear_y", "rotate")
FRACTIONS = {"brightness": 1, "contrast": 1.5, "sharpness": 2, "autocontrast": 1}
"""Pillow cuts off fractions of a level, also in the mean and the smoothed image; ours are kept."""


def test_the_operations_are_those_of_the_wide_space_that_change_a_grey_image():
    assert [operation.__name__ for operation in OPERATIONS] == list(PILLOW)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_an_operation_is_pillows(operation):
    for seed, strength in enumerate(STRENGTHS):
        image = picture(seed)
        ours = operation(torch.tensor(image).float(), strength).clamp(0, 255).numpy()
        theirs = np.asarray(PILLOW[operation.__name__](strength)(Image.fromarray(image)), float)
        if operation.__name__ in OBLIQUE:  # where a border between pixels is met exactly, rounding decides
            assert (ours == theirs).mean() > 0.97, strength
        else:
            assert np.abs(ours - theirs).max() <= FRACTIONS.get(operation.__name__, 0), strength


@pytest.mark.parametrize("level", [0, 97, 255])
def test_an_image_of_one_level_stays_one(level):
    image = torch.full((9, 9), float(level))
    for operation in (module.autocontrast, module.equalize, module.contrast, module.sharpness):
        assert torch.equal(operation(image, 13), image), operation


def test_each_image_gets_one_operation_and_one_strength_by_chance():
    """Recognised by what they do to an image whose results all differ."""
    image = torch.tensor(picture(0)).float()
    known = {}
    for operation in OPERATIONS:
        for strength in range(-30, 31):
            result = operation(image, strength).clamp(0, 255) / 255
            known.setdefault(result.numpy().tobytes(), (operation.__name__, strength))
    batch = (image / 255).expand(1300, 1, *image.shape)
    made = trivial(batch, torch.Generator().manual_seed(0))
    assert made.shape == batch.shape and made.min() >= 0 and made.max() <= 1
    found = [known[result[0].numpy().tobytes()] for result in made]
    counts = Counter(name for name, _ in found)
    assert all(counts[name] > 60 for name in PILLOW), counts  # 100 expected, deviation 10
    turns = [strength for name, strength in found if name == "rotate"]
    assert min(turns) < -25 and max(turns) > 25 and len(set(turns)) > 30
    again = trivial(batch[:20], torch.Generator().manual_seed(0))
    assert torch.equal(again, trivial(batch[:20], torch.Generator().manual_seed(0)))


def test_whole_levels_pass_unchanged(monkeypatch):
    levels = (torch.arange(256).view(1, 1, 16, 16).float() / 255).expand(4, 1, 16, 16)
    monkeypatch.setattr(module, "OPERATIONS", (module.identity,))
    assert torch.equal(trivial(levels, torch.Generator().manual_seed(0)), levels)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_work_where_the_image_is(operation):
    image = torch.rand(12, 10, generator=torch.Generator().manual_seed(0)) * 255
    expected = operation(image, 17)
    with torch.device("meta"):  # for all that is not told where to be
        assert torch.equal(operation(image, 17), expected)

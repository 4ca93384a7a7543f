"""The segmenter: what it learns, and that a training can be repeated."""

from dataclasses import replace

import numpy as np
import pytest

from sonosynth.evidence.overlap import dice
from sonosynth.firewall import Origins
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.segmentation import segmenter
from sonosynth.tasks.segmentation.segmenter import Recipe, train
from sonosynth.tasks.segmentation.settings import Segmenter
from sonosynth.tasks.training_set import TrainingSet

pytest.importorskip("monai")


def boxes(n, seed):
    """Bright boxes in noise, none in every third image; and their masks."""
    rng = np.random.default_rng(seed)
    images, masks = rng.integers(0, 90, (n, 32, 32)).astype(np.uint8), np.zeros((n, 32, 32), np.uint8)
    for k in range(n):
        if k % 3:
            y, x, h, w = rng.integers((2, 2, 8, 8), (16, 16, 14, 14))
            masks[k, y : y + h, x : x + w] = 1
    return images + 90 * masks, masks


def training_set(n=24, seed=0):
    images, masks = boxes(n, seed)
    labels = np.minimum(np.arange(n) % 3, 1)
    of_real = TrainingSet.of_real(images, labels, 2, Origins.of_images(map(str, range(n))))
    return replace(of_real, masks=masks)


def recipe(steps, **more):
    return Recipe(Segmenter(batch=6, resolution=32, learning_rate=0.01), steps, "fp32", **more)


def test_it_finds_what_is_bright_and_nothing_where_nothing_is():
    images, masks = boxes(12, 1)
    found = train(training_set(), recipe=recipe(30), arm=Arm(augmentation="classical"), seed=0).masks(images)
    assert found.shape == masks.shape and found.dtype == np.uint8
    assert np.nanmean([dice(*pair) for pair in zip(masks, found, strict=True)]) > 0.85
    assert found[::3].mean() < 0.01


def test_the_same_seed_gives_the_same_masks_and_another_one_others():
    images, _ = boxes(6, 1)

    def found(seed=0, augmentation="flip", settle=False, **more):
        arm = Arm(augmentation=augmentation, settle=settle)
        return train(training_set(), recipe=recipe(4, **more), arm=arm, seed=seed).masks(images)

    first = found()
    assert np.array_equal(first, found())
    for other in (found(1), found(mirror=False), found(augmentation="classical"), found(settle=True)):
        assert not np.array_equal(first, other)


def test_it_needs_masks_and_as_many_as_images():
    with pytest.raises(ValueError, match="trained on images with masks"):
        train(replace(training_set(), masks=None), recipe=recipe(1), arm=Arm(), seed=0)
    with pytest.raises(ValueError, match="differ in number"):
        replace(training_set(), masks=training_set().masks[1:])
    both = training_set() + training_set(6, 3)
    assert both.masks.shape == (30, 32, 32)


def test_without_monai_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: None)
    with pytest.raises(segmenter.UserError, match="need MONAI"):
        segmenter.check_installed()

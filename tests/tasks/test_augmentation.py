"""Classical augmentation of images, and of images with masks."""

import torch

from sonosynth.tasks.augmentation import classical, classical_pairs


def test_classical_augmentation_moves_little_and_keeps_the_range():
    image = torch.zeros(64, 1, 64, 64)
    image[:, :, 28:36, 28:36] = 0.8
    moved = classical(image, torch.Generator().manual_seed(0))
    assert moved.shape == image.shape
    assert moved.min() >= 0 and moved.max() <= 1
    rows = torch.arange(64.0)
    centres = (moved.sum(dim=3)[:, 0] * rows).sum(dim=1) / moved.sum(dim=(1, 2, 3))
    assert (centres - 31.5).abs().max() < 64 * 0.05 + 1
    assert centres.std() > 0.5
    level = moved[:, 0, 31:33, 31:33].mean(dim=(1, 2)) / 0.8
    assert level.min() > 0.7 and level.std() > 0.05


def test_without_speckle_the_classical_augmentation_only_moves_and_scales():
    images = torch.full((6, 1, 32, 32), 0.5)
    with_noise, without = (
        classical(images, torch.Generator().manual_seed(0), speckle=speckle) for speckle in (True, False)
    )
    assert (with_noise.std(dim=(1, 2, 3)) > 0.02).all()
    assert (without.std(dim=(1, 2, 3)) < 1e-6).all()
    assert torch.allclose(with_noise.mean(dim=(1, 2, 3)), without.mean(dim=(1, 2, 3)), atol=0.01)


def test_a_mask_moves_with_its_image():
    masks = torch.zeros(32, 1, 64, 64)
    masks[:, :, 10:40, 20:44] = 1
    images, moved = classical_pairs(0.8 * masks, masks, torch.Generator().manual_seed(0), speckle=False)
    levels = images / images.amax(dim=(2, 3), keepdim=True)
    assert torch.equal(moved, (levels >= 0.5).float())
    assert (moved != masks).flatten(1).any(dim=1).all() and set(moved.unique().tolist()) == {0, 1}
    alone = classical(0.8 * masks, torch.Generator().manual_seed(0), speckle=False)
    assert torch.equal(images, alone)

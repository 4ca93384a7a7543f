from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture
def edition(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    return import_module("second_edition")


def noise(seed, deviation=1.0, images=8):
    grey = deviation * torch.randn(images, 1, 64, 64, generator=torch.Generator().manual_seed(seed))
    return grey.expand(-1, 3, -1, -1)


def test_the_spectrum_of_noise_twice_as_strong_has_four_times_the_energy(edition):
    # Of each image, and of the batch: log 4 at every frequency. The floor of energies plays no part here.
    assert edition.spectrum_loss(noise(0, 2.0), noise(0)).item() == pytest.approx(2 * np.log(4), rel=0.01)
    assert edition.spectrum_loss(noise(0), noise(0)).item() == 0


def test_a_pattern_that_all_images_share_shows_in_the_spectrum(edition):
    place = torch.arange(64)
    weave = torch.cos(2 * torch.pi * (6 * place[:, None] + 24 * place) / 64)
    images, others = noise(0, 0.1, images=64), noise(1, 0.1, images=64)
    without = edition.spectrum_loss(others, images)
    assert edition.spectrum_loss(others + 0.05 * weave, images) > 1.02 * without


def test_looks_keep_means_and_take_fine_detail_from_some(edition):
    images = noise(0, 0.1, images=64).clamp(-1, 1)
    looks = edition.with_looks(images, torch.Generator().manual_seed(0))
    assert looks.shape == images.shape and looks.dtype == torch.float32
    assert torch.equal(looks[:, 0], looks[:, 2])
    blurred = looks[:, 0].std(dim=(1, 2)) < 0.06
    assert 10 <= blurred.sum() <= 35  # 0.4 of 64, of which the weakest blur shows little
    assert ((looks.mean(dim=(1, 2, 3)) + 1) / 2).amax() < 0.5**0.7 + 0.01
    assert ((looks.mean(dim=(1, 2, 3)) + 1) / 2).amin() > 0.5**1.4 - 0.01

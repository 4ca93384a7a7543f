import numpy as np
import pytest
from scipy import ndimage

from sonosynth.fidelity import speckle


def test_the_ratio_of_rayleigh_noise_is_1_91_and_its_nakagami_shape_1():
    noise = np.random.default_rng(0).rayleigh(size=(200, 64, 64))
    found = speckle.statistics(noise).medians()
    assert found["ratio"] == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.01)
    assert found["nakagami"] == pytest.approx(1, rel=0.02)


def test_lengths_of_filtered_noise_are_those_of_its_autocorrelation():
    # White noise through a Gaussian of deviation s has the autocorrelation exp(-d^2 / 4 s^2): 1/2 at 2 s sqrt(ln 2).
    noise = np.random.default_rng(0).standard_normal((100, 128, 128))
    found = speckle.statistics(ndimage.gaussian_filter(noise, (0, 1.5, 3.0))).medians()
    assert found["axial"] == pytest.approx(2 * 1.5 * np.sqrt(np.log(2)), rel=0.04)
    assert found["lateral"] == pytest.approx(2 * 3.0 * np.sqrt(np.log(2)), rel=0.04)


def test_a_patch_is_cut_from_its_place_and_black_or_flat_ones_show_no_speckle():
    images = np.zeros((2, 40, 33), np.uint8)
    images[1, 16:32, 16:32] = np.random.default_rng(0).integers(50, 200, (16, 16))
    images[0, :16, :16] = 120
    cut = speckle.patches(images)
    assert cut.shape == (8, 16, 16)
    assert list(speckle.textured(cut)) == [False] * 7 + [True]
    assert (cut[7] == images[1, 16:32, 16:32]).all()


def test_a_patch_across_an_edge_is_not_homogeneous():
    noise = np.random.default_rng(0).rayleigh(size=(50, 16, 16)) * 40
    edge = noise + np.repeat([0, 200], 8)[None, None]
    assert speckle.homogeneous(noise).mean() > 0.95
    assert not speckle.homogeneous(edge).any()


def test_a_smooth_patch_has_at_most_the_longest_length_there_is():
    ramp = np.tile(np.arange(16.0)[:, None], (1, 16))[None] * 10
    found = speckle.statistics(ramp)
    assert found.lateral == pytest.approx([8.0])
    assert 1 < found.axial[0] < 8

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sonosynth.measures import texture, ultrasound
from sonosynth.phantom import simulate


def noise(sigma, count=20, seed=0):
    values = np.random.default_rng(seed).normal(120, sigma, (count, 64, 64))
    return np.round(values).clip(0, 255).astype(np.uint8)


def test_white_noise_has_a_flat_spectrum_and_its_own_level():
    found = texture.measures(noise(8))
    assert found["noise"] == pytest.approx(np.full(20, 8), rel=0.1)
    assert found["contrast"] == pytest.approx(np.full(20, 8), rel=0.1)
    assert found["slope"].mean() == pytest.approx(0, abs=0.1)
    assert 10 ** found["noise_power"].mean(axis=0) == pytest.approx(np.full(8, 64), rel=0.15)


def test_blur_makes_the_grain_coarse_and_the_image_less_sharp():
    plain = noise(20)
    blurred = np.round(gaussian_filter(plain.astype(float), (0, 1, 1))).astype(np.uint8)
    a, b = texture.measures(plain), texture.measures(blurred)
    assert (b["slope"] < a["slope"] - 0.5).all()
    assert (b["sharpness"] < 0.8 * a["sharpness"]).all()
    assert (b["noise"] < 0.5 * a["noise"]).all()


def test_sharpness_does_not_depend_on_contrast_and_a_constant_image_has_none():
    ramp = np.tile(np.arange(64, dtype=np.uint8), (1, 64, 1))
    a, b = texture.measures(ramp), texture.measures(ramp * 3)
    assert a["sharpness"] == pytest.approx(b["sharpness"])
    constant = texture.measures(np.full((2, 64, 64), 9, np.uint8))
    assert (constant["sharpness"] == 0).all() and (constant["noise"] == 0).all()
    assert np.isnan(constant["slope"]).all() and np.isnan(constant["noise_power"]).all()


def test_a_smoothed_or_noisy_set_is_further_from_real_images_than_other_real_ones():
    rng = np.random.default_rng(0)
    real, others = (np.stack([simulate("benign", rng, size=64).image for _ in range(25)]) for _ in range(2))
    blurred = np.stack([np.round(gaussian_filter(x.astype(float), 1)).astype(np.uint8) for x in others])
    noisy = np.clip(others + rng.normal(0, 15, others.shape), 0, 255).astype(np.uint8)
    reference = texture.measures(real)
    floor, blur, noised = (texture.compare(reference, texture.measures(x)) for x in (others, blurred, noisy))
    for name in ("slope", "noise", "sharpness", "mean"):
        assert min(blur[name], noised[name]) > 2 * floor[name], name


def test_no_image_has_no_values_and_names_are_those_of_ultrasound_where_they_mean_the_same():
    assert {name: values.shape for name, values in texture.measures(np.empty((0, 64, 64), np.uint8)).items()} == {
        "noise_power": (0, 8), "slope": (0,), "noise": (0,), "contrast": (0,), "sharpness": (0,), "spectrum": (0, 16),
    }  # fmt: skip
    assert set(texture.MEASURES) & set(ultrasound.MEASURES) == {"spectrum"}

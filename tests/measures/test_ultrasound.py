import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sonosynth.measures import ultrasound
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import DEMO_PROBE


def test_the_slope_with_depth_is_the_one_planted():
    ramp = np.repeat(np.linspace(200, 140, 64)[None, :, None], 32, axis=2)
    assert ultrasound.attenuations(ramp) == pytest.approx([-60])


def test_distances_are_in_deviations_of_the_real_images():
    rng = np.random.default_rng(0)
    real = {name: rng.normal(5, 2, 4000) for name in ultrasound.MEASURES}
    shifted = {name: values + 2 for name, values in real.items()}
    assert ultrasound.compare(real, shifted) == pytest.approx(dict.fromkeys([*real, "mean"], 1), abs=0.05)
    assert ultrasound.compare(real, real)["mean"] == 0
    nothing = {name: np.full(3, np.nan) for name in real}
    assert np.isnan(ultrasound.compare(real, nothing)["ratio"])


def test_blur_and_white_noise_score_worse_than_other_real_images():
    images = np.stack([simulate("normal", np.random.default_rng(i), DEMO_PROBE).image for i in range(60)])
    real, others = images[::2], images[1::2]
    blurred = np.stack([gaussian_filter(x, 1) for x in others])
    noisy = np.clip(others + np.random.default_rng(0).normal(0, 10, others.shape), 0, 255).astype(np.uint8)
    reference = ultrasound.measures(real)
    floor, blur, noise = (ultrasound.compare(reference, ultrasound.measures(x)) for x in (others, blurred, noisy))
    for name in ("axial", "lateral", "spectrum", "mean"):
        assert min(blur[name], noise[name]) > 1.5 * floor[name]

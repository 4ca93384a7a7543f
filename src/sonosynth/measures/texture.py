"""Does it look like the modality? Noise, contrast and sharpness of synthetic images against real ones.

For images without speckle: X-ray, CT, MRI and others. A network that was trained on photographs may forgive a smooth
image or a coarse grain; readers do not. All measures here are one number per image (noise_power, spectrum: several).
"""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from sonosynth.fidelity import speckle
from sonosynth.fidelity.distributions import distances
from sonosynth.fidelity.jobs import Measuring
from sonosynth.fidelity.spectra import spectra

VERSION = 1
SINGLE = ("slope", "noise", "contrast", "sharpness")
MEASURES = ("noise_power", *SINGLE, "spectrum")
RINGS = speckle.PATCH // 2
LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], float)
BLOCK = 256  # images at a time, as their spectra take a hundred times their memory


def space(settings: Measuring) -> str:
    """The name of what is compared."""
    return settings.measure


def describe(images: np.ndarray, settings: Measuring) -> dict[str, np.ndarray]:
    """The measures `MEASURES` of `images` (N, H, W) uint8, square, at least 32 pixels.

    noise_power: (N, 8), log10 of the noise power spectrum in rings of frequency, 1/16 to 1/2 per pixel: the median over
    the image's homogeneous patches of 16 x 16 pixels (ICRU Report 87 takes such regions, for CT), NaN without any.
    slope: (N,), of noise_power with log10 of the frequency: 0 for white noise, negative for a coarse grain. noise: (N,)
    standard deviation, grey levels, by the difference of two Laplacians (Immerkær, Comput. Vis. Image Underst. 64:300,
    1996). contrast: (N,) standard deviation of all grey levels. sharpness: (N,) mean length of the gradient in parts of
    the contrast, per pixel; 0 for a constant image. spectrum: (N, 16), as in `fidelity.spectra.spectra`.
    """
    return measures(images)


def measures(images: np.ndarray) -> dict[str, np.ndarray]:
    """As `describe`."""
    parts = [_measures(images[start : start + BLOCK]) for start in range(0, max(len(images), 1), BLOCK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}


def _measures(images: np.ndarray) -> dict[str, np.ndarray]:
    power = np.array([_noise_power(image) for image in images]).reshape(-1, RINGS)
    levels = images.astype(float)
    contrast = levels.std(axis=(1, 2))
    across, down = np.diff(levels, axis=2)[:, 1:], np.diff(levels, axis=1)[:, :, 1:]
    laplacians = ndimage.convolve(levels, LAPLACIANS[None])[:, 1:-1, 1:-1]
    return {
        "noise_power": power,
        "slope": _slopes(power),
        "noise": np.sqrt(np.pi / 2) / 6 * np.abs(laplacians).mean(axis=(1, 2)),
        "contrast": contrast,
        "sharpness": np.hypot(across, down).mean(axis=(1, 2)) / np.maximum(contrast, 1),
        "spectrum": spectra(images),
    }


def _noise_power(image: np.ndarray) -> np.ndarray:
    """(8,) of one image, as in `describe`."""
    cut = speckle.patches(image[None])
    cut = cut[speckle.textured(cut)]
    cut = cut[speckle.homogeneous(cut)]
    if not len(cut):
        return np.full(RINGS, np.nan)
    power = np.abs(np.fft.fft2(cut - cut.mean(axis=(1, 2), keepdims=True))) ** 2 / speckle.PATCH**2
    frequency = np.fft.fftfreq(speckle.PATCH)
    ring = np.round(np.hypot(frequency[:, None], frequency) * speckle.PATCH).astype(int)
    found: np.ndarray = np.log10([np.median(power[:, ring == k].mean(axis=1)) + 1e-3 for k in range(1, RINGS + 1)])
    return found


def _slopes(power: np.ndarray) -> np.ndarray:
    """(N,): the slope of (N, 8) log10 power with log10 frequency, by least squares."""
    place = np.log10(np.arange(1, RINGS + 1))
    place -= place.mean()
    slopes: np.ndarray = power @ place / (place @ place)
    return slopes


def compare(real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far the measures of other images lie from those of real ones: see `fidelity.distributions.distances`."""
    return distances(real, other, MEASURES)

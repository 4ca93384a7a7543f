"""Does it look like ultrasound? Speckle, spectrum and attenuation of synthetic images against real ones.

A network trained on photographs, or on kinds of lesions, may forgive what no sonographer would: blurred speckle, white
noise, brightness that does not fall with depth. All measures here are one number per image (spectrum: per frequency).
"""

from collections.abc import Mapping

import numpy as np

from sonosynth.fidelity import speckle
from sonosynth.fidelity.jobs import Measuring

VERSION = 1
SPECKLE = ("ratio", "nakagami", "axial", "lateral")
SINGLE = (*SPECKLE, "attenuation")
MEASURES = (*SPECKLE, "spectrum", "attenuation")
RINGS = 16
BLOCK = 256  # images at a time: their spectra take a hundred times their memory


def space(settings: Measuring) -> str:
    """The name of what is compared."""
    return settings.measure


def describe(images: np.ndarray, settings: Measuring) -> dict[str, np.ndarray]:
    """The measures `MEASURES` of `images` (N, H, W) uint8, square, at least 32 pixels.

    ratio, nakagami, axial, lateral: (N,) medians over the image's homogeneous patches of 16 x 16 pixels, NaN where it
    has none, as `speckle` says: of displayed grey levels, and in pixels of the images' resolution. spectrum: (N, 16),
    log10 of the power in rings of frequency, 0 to 1/2 per pixel. attenuation: (N,), slope of the rows' mean grey level
    with depth, in grey levels per image height.
    """
    return measures(images)


def measures(images: np.ndarray) -> dict[str, np.ndarray]:
    """As `describe`."""
    parts = [_measures(images[start : start + BLOCK]) for start in range(0, max(len(images), 1), BLOCK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}


def _measures(images: np.ndarray) -> dict[str, np.ndarray]:
    of_image = [_speckle(image) for image in images]
    found = {name: np.array([row[name] for row in of_image]) for name in SPECKLE}
    return found | {"spectrum": spectra(images), "attenuation": attenuations(images)}


def _speckle(image: np.ndarray) -> dict[str, float]:
    cut = speckle.patches(image[None])
    cut = cut[speckle.textured(cut)]
    cut = cut[speckle.homogeneous(cut)]
    return speckle.statistics(cut).medians() if len(cut) else dict.fromkeys(SPECKLE, float("nan"))


def spectra(images: np.ndarray) -> np.ndarray:
    """(N, 16): log10 of the mean power of `images` (N, H, W), Hann window, in rings of radial frequency."""
    height, width = images.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width))
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(centred * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    ring = np.minimum((radius * 2 * RINGS).astype(int), RINGS)  # the corners, beyond 1/2, are left out
    sums = np.stack([power[:, ring == k].mean(axis=1) for k in range(RINGS)], axis=1)
    return np.log10(sums + 1)


def attenuations(images: np.ndarray) -> np.ndarray:
    """(N,): slope with depth of the mean grey level of the rows of `images` (N, H, W), per image height."""
    rows = images.mean(axis=2)
    depth = np.linspace(-0.5, 0.5, rows.shape[1])
    slopes: np.ndarray = (rows - rows.mean(axis=1, keepdims=True)) @ depth / (depth @ depth)
    return slopes


def compare(real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far the `measures` of other images lie from those of real ones: a value for each, and their "mean".

    Wasserstein-1 distance of the two distributions over images, in standard deviations of the real ones; of the
    spectrum, its mean over the frequencies. NaN where fewer than two images on either side have the measure.
    """
    found = {name: _distance(real[name], other[name]) for name in MEASURES}
    return found | {"mean": float(np.mean(list(found.values())))}


def _distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    real, synthetic = (np.column_stack([values]) for values in (real, synthetic))
    real, synthetic = (values[np.isfinite(values).all(axis=1)] for values in (real, synthetic))
    if min(len(real), len(synthetic)) < 2 or not (deviation := real.std(axis=0)).all():
        return float("nan")
    return float((wasserstein(real, synthetic) / deviation).mean())


def wasserstein(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Wasserstein-1 distance (D,) of each column of a (N, D) and b (M, D): the area between their distributions."""
    both = np.concatenate([a, b])
    order = both.argsort(axis=0)
    gaps = np.diff(np.take_along_axis(both, order, axis=0), axis=0)
    steps = np.where(order < len(a), 1 / len(a), -1 / len(b))
    distance: np.ndarray = (np.abs(steps.cumsum(axis=0)[:-1]) * gaps).sum(axis=0)
    return distance

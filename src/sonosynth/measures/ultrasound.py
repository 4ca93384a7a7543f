"""Does it look like ultrasound? Speckle, spectrum and attenuation of synthetic images against real ones.

A network trained on photographs, or on kinds of lesions, may forgive what no sonographer would: blurred speckle, white
noise, brightness that does not fall with depth. All measures here are one number per image (spectrum: per frequency).
"""

from collections.abc import Mapping

import numpy as np

from sonosynth.fidelity import speckle
from sonosynth.fidelity.distributions import distances
from sonosynth.fidelity.jobs import Measuring
from sonosynth.fidelity.spectra import spectra

VERSION = 1
SPECKLE = ("ratio", "nakagami", "axial", "lateral")
SINGLE = (*SPECKLE, "attenuation")
MEASURES = (*SPECKLE, "spectrum", "attenuation")
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


def attenuations(images: np.ndarray) -> np.ndarray:
    """(N,): slope with depth of the mean grey level of the rows of `images` (N, H, W), per image height."""
    rows = images.mean(axis=2)
    depth = np.linspace(-0.5, 0.5, rows.shape[1])
    slopes: np.ndarray = (rows - rows.mean(axis=1, keepdims=True)) @ depth / (depth @ depth)
    return slopes


def compare(real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far the `measures` of other images lie from those of real ones: see `fidelity.distributions.distances`."""
    return distances(real, other, MEASURES)

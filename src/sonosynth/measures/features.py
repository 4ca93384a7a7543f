"""Distances on the features of a network: Fréchet, kernel, precision and recall, density and coverage, Vendi score."""

from collections.abc import Mapping

import numpy as np

from sonosynth.fidelity.distances import moment_distances, prdc, vendi_score
from sonosynth.fidelity.jobs import Measuring
from sonosynth.fidelity.networks import extractor

VERSION = 2
SINGLE: tuple[str, ...] = ()


def space(settings: Measuring) -> str:
    """The name of the network."""
    assert settings.network is not None
    return settings.network.name


def describe(images: np.ndarray, settings: Measuring) -> dict[str, np.ndarray]:
    """features: (N, D) float32 of images (N, H, W) uint8."""
    assert settings.network is not None
    return {"features": extractor(settings.network)(images)}


def compare(real: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, float]:
    """All distances between two sets of features; one that needs more images than there are is NaN.

    The Vendi score is that of features minus the mean of the real ones: features as they are point in much the same
    direction for all images, which would then count as hardly more than one.
    """
    a, b = real["features"], other["features"]
    few = min(len(a), len(b))
    none = float("nan")
    found = moment_distances(a, b)
    found |= prdc(a, b) if few > 5 else dict.fromkeys(("precision", "recall", "density", "coverage"), none)
    centred = b - a.mean(axis=0) if few else b[:0]
    return found | {"vendi": vendi_score(centred) if few and centred.any(axis=1).all() else none}

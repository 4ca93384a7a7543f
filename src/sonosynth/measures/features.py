"""Distances on the features of a network: Fréchet, kernel, precision and recall, density and coverage, Vendi score."""

from collections.abc import Mapping

import numpy as np

from sonosynth.fidelity.distances import frechet_distance, kernel_distance, prdc, vendi_score
from sonosynth.fidelity.jobs import Measuring
from sonosynth.fidelity.networks import extractor

VERSION = 1
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
    """All distances between two sets of features; one that needs more images than there are is NaN."""
    a, b = real["features"], other["features"]
    few = min(len(a), len(b))
    none = float("nan")
    found = {
        "frechet": frechet_distance(a, b) if few >= 2 else none,
        "kernel": kernel_distance(a, b) if few >= 2 else none,
    }
    found |= prdc(a, b) if few > 5 else dict.fromkeys(("precision", "recall", "density", "coverage"), none)
    return found | {"vendi": vendi_score(b) if len(b) else none}

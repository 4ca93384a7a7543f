"""The metric functions, in one place: do the synthetic images look real, and does a classifier get better?"""

from sonosynth.evidence.tests import delong, holm, mcnemar, wilson
from sonosynth.fidelity.distances import frechet_distance, kernel_distance, prdc, vendi_score

__all__ = ["delong", "frechet_distance", "holm", "kernel_distance", "mcnemar", "prdc", "vendi_score", "wilson"]

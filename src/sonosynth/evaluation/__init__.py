"""Do the synthetic images look real, and does a classifier trained with them get better?"""

from sonosynth.evaluation.fidelity import frechet_distance, kernel_distance, prdc, vendi_score
from sonosynth.evaluation.significance import delong, holm, mcnemar, wilson

__all__ = ["delong", "frechet_distance", "holm", "kernel_distance", "mcnemar", "prdc", "vendi_score", "wilson"]

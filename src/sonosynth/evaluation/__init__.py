"""Do the synthetic images look real, and does a classifier trained with them get better?"""

from sonosynth.evaluation.fidelity import frechet_distance

__all__ = ["frechet_distance"]

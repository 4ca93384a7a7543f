"""Image to image: noise is added to an image up to a strength, and removed again under the image's prompt."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonosynth.synthesis.jobs import Making
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import Request
from sonosynth.synthesis.sampling import Sampler

VERSION = 1
FROM = "images"


def open(settings: Making, adapter: Path | None) -> Maker:
    """Load the adapted base; each image is refined from the one that it starts from."""
    assert settings.strength is not None
    strength = settings.strength
    # At least one step has to fall into the last `strength` share of them.
    steps = max(settings.synthesis.steps, math.ceil(1 / strength))
    s = settings.synthesis.model_copy(update={"steps": steps})
    sampler = Sampler(settings.base, adapter, settings.precision, settings.resolution, s)

    def refine(wanted: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return sampler.refine(starts, [r.prompt for r in wanted], [r.seed for r in wanted], strength)

    return Maker(
        refine,
        sampler.columns | {"strength": strength, "timestep": sampler.first_timestep(strength)},
    )

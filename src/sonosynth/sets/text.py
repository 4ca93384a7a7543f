"""Text to image."""

from pathlib import Path

from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import masks_of
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.sampling import Sampler

VERSION = 1
FROM = "noise"
CONDITION = True


def open(settings: Making, adapter: Path | None) -> Maker:
    """Load the adapted base; each image is sampled from noise under its prompt and, with a condition, its mask."""
    assert settings.base is not None
    s, controlled = settings.synthesis, settings.condition is not None
    sampler = Sampler(settings.base, adapter, settings.precision, settings.resolution, s, controlled=controlled)
    return Maker(
        lambda wanted, _: sampler.generate([r.prompt for r in wanted], [r.seed for r in wanted], masks_of(wanted)),
        sampler.columns | {"strength": "", "timestep": ""},
    )

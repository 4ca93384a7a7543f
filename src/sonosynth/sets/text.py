"""Text to image."""

from pathlib import Path

from sonosynth.synthesis.jobs import Making
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.sampling import Sampler

VERSION = 1
FROM = "noise"


def open(settings: Making, adapter: Path | None) -> Maker:
    """Load the adapted base; each image is sampled from noise under its prompt."""
    assert settings.base is not None
    s = settings.synthesis
    sampler = Sampler(settings.base, adapter, settings.precision, settings.resolution, s)
    return Maker(
        lambda wanted, _: sampler.generate([r.prompt for r in wanted], [r.seed for r in wanted]),
        sampler.columns | {"strength": "", "timestep": ""},
    )

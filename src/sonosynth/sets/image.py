"""Image to image: noise is added to an image up to a strength, and removed again under the image's prompt.

At strength 0 there is no noise: what remains is the VAE, as a control of what it alone does to an image.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth import device
from sonosynth.bases import sd1
from sonosynth.bases.latents import reconstruct
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import Request, masks_of, regions_of
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.sampling import Sampler

VERSION = 2
FROM = "images"
CONDITION = True


def open(settings: Making, adapter: Path | None) -> Maker:
    """Load what the strength needs of the adapted base; each image is made from the one that it starts from."""
    return _refining(settings, adapter) if settings.strength else _reconstructing(settings)


def _refining(settings: Making, adapter: Path | None) -> Maker:
    assert settings.base is not None
    s, steps, strengths = settings.synthesis, settings.refine_steps, settings.strengths
    if steps is None:  # at least one step has to fall into the last `strength` share of them
        s = s.model_copy(update={"steps": max(s.steps, math.ceil(1 / min(strengths)))})
    controlled = settings.condition is not None
    sampler = Sampler(settings.base, adapter, settings.precision, settings.resolution, s, controlled=controlled)

    def refine(wanted: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        images = np.empty_like(starts)
        for strength in dict.fromkeys(request.strength for request in wanted):
            assert strength is not None
            rows = [n for n, request in enumerate(wanted) if request.strength == strength]
            some = [wanted[n] for n in rows]
            images[rows] = sampler.refine(
                starts[rows], [r.prompt for r in some], [r.seed for r in some], strength, steps, masks=masks_of(some),
                regions=regions_of(some),
            )  # fmt: skip
        return images

    about: dict[float | None, dict[str, Any]] = {}
    for strength in strengths:
        times = sampler.times(strength, steps)
        about[strength] = {"strength": strength, "timestep": int(times[0])}
        about[strength] |= {} if steps is None else {"steps": len(times)}
    return Maker(refine, sampler.columns | about[strengths[0]], own=lambda request: about[request.strength])


def _reconstructing(settings: Making) -> Maker:
    assert settings.base is not None
    dtype = sd1.DTYPES[settings.precision]
    vae = sd1.load(settings.base.folder, dtype, device.best(), without=("unet", "text_encoder")).vae

    def through_vae(_: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return reconstruct(vae, starts)

    return Maker(through_vae, {"strength": 0.0, "timestep": ""}, draws=False)

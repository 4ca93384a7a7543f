"""Images that another generator made, as they are: of a GAN, of another program, of a vendor."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonosynth.synthesis.jobs import Making
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import Request

VERSION = 1
FROM = "files"
MODEL = False
GENERATOR = True


def open(settings: Making, adapter: Path | None) -> Maker:
    """Each image is the file that it starts from, grey and of the study's resolution."""

    def taken(wanted: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return starts

    return Maker(taken, {}, draws=False)

"""Training images once more, pixel by pixel: the control for a training set that is larger, but shows nothing new."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonosynth.synthesis.jobs import Making
from sonosynth.synthesis.making import Maker
from sonosynth.synthesis.requests import Request

VERSION = 1
FROM = "real"
MODEL = False
CONTROL = True


def open(settings: Making, adapter: Path | None) -> Maker:
    """Each image is the one that it starts from."""

    def copied(wanted: Sequence[Request], starts: np.ndarray | None) -> np.ndarray:
        assert starts is not None
        return starts

    return Maker(copied, {}, draws=False)

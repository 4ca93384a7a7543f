"""Images that another generator made, as they are: of a GAN, of another program, of a vendor."""

from pathlib import Path

from sonosynth.synthesis.making import Maker, unchanged
from sonosynth.synthesis.resolved import Making

VERSION = 1
FROM = "files"
MODEL = False
GENERATOR = True


def open(settings: Making, adapter: Path | None) -> Maker:
    """Each image is the file that it starts from, grey and of the study's resolution."""
    return unchanged()

"""Where an image comes from, kept in its file: nothing of patients, and no paths."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_type_hints

from PIL import Image
from PIL.PngImagePlugin import PngInfo

KEYWORD = "sonosynth"
"""Of the PNG's iTXt chunk that holds it, as JSON."""


@dataclass(frozen=True)
class Provenance:
    """How an image of a set was made.

    synthetic: False for a real image that a control repeats. software: name and version. label: the class. kind: of
    the set, a file in `sets/`. prompt: with the names of a cohort's columns in the place of their values. seed: None if
    the image was not drawn. base, adapter: digests, "" without. real: whether it was computed from the pixels of a real
    image other than through the training of a model.
    """

    synthetic: bool
    software: str
    set: str
    label: str
    kind: str
    prompt: str
    seed: int | None
    base: str
    adapter: str
    real: bool

    def json(self) -> str:
        """As JSON, in one line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def add_to(self, about: PngInfo) -> None:
        """Add it to what is written into a PNG file."""
        about.add_itxt(KEYWORD, self.json())


def parse(text: str) -> Provenance | None:
    """What `Provenance.json` wrote; None for anything else."""
    try:
        found = Provenance(**json.loads(text))
    except (ValueError, TypeError):
        return None
    hints = get_type_hints(Provenance)
    return found if all(isinstance(value, hints[name]) for name, value in asdict(found).items()) else None


def read(path: str | Path) -> Provenance | None:
    """The provenance in a PNG file of a set; None if there is none.

    Raises:
        OSError: if there is no such file, or it is no PNG.
    """
    with Image.open(path, formats=["PNG"]) as image:
        return parse(str(image.info.get(KEYWORD, "")))

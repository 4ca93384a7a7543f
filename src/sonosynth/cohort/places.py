"""Where the pictures of a cohort are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A picture that Pillow can't read from a file of its own: `name` says which one of the file's, "" the only one.

    format: the name of the format whose `decode(file, name)` gives its (H, W) uint8 grey pixels, upright, and what its
    mode is called; it raises `decoding.Unusable`.
    """

    file: Path
    format: str
    name: str = ""


Place = Path | Part
"""Where a picture is: a file that Pillow reads, or a part of another."""


def file_of(place: Place) -> Path:
    """The file that a picture is in."""
    return place.file if isinstance(place, Part) else place

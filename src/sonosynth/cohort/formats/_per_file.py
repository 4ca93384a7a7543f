"""Which files are pictures, whoever decodes them: those of Pillow, and those of the formats that decode a file each."""

from pathlib import Path

from sonosynth import extensions
from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.places import Place

FORMATS = ("nifti", "dicom")
"""Formats with `is_one(file)`, `parts(file)` and `SUFFIXES`."""


def place_of(file: Path) -> Place | None:
    """Where the picture of a file is, the middle one if there are several; None if nothing here decodes such files."""
    if file.suffix.lower() in EXTENSIONS:
        return file
    for name in FORMATS:
        module = extensions.find("formats", name)
        if module.is_one(file):
            found: Place = module.parts(file)[0]
            return found
    return None


def stem_of(file: Path) -> str:
    """The name of a file without what says its kind; a UID such as 1.2.840 has no such ending."""
    lower = file.name.lower()
    own = (end for name in FORMATS for end in extensions.find("formats", name).SUFFIXES)
    found = max((end for end in (*EXTENSIONS, *own) if lower.endswith(end)), key=len, default="")
    return file.name[: len(file.name) - len(found)]

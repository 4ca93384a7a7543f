"""A folder of class folders, as in BUSI."""

from pathlib import Path

from sonosynth.cohort.formats import _class_folders, dicom
from sonosynth.cohort.sources import Listing


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.is_dir()


def listing(root: Path) -> Listing:
    """The images in the class folders of the folder `root`."""
    return dicom.with_people(_class_folders.listing(root))

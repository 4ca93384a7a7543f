"""The side of the split that a name such as train, Testing or val-00000-of-00002 stands for."""

import re
from dataclasses import replace

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.sources import Listing

SIDES = {"train": TRAIN, "training": TRAIN} | dict.fromkeys(
    ("val", "valid", "validation", "dev", "test", "testing"), VALIDATION
)
"""What a set of images is called, and its side. All that isn't for training is held out: where a cohort has both
validation and test images, these are scored together."""


def side_of(name: str) -> str:
    """The side that the first word of a name stands for that is one of `SIDES`, in any case; "" if none is."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SIDES[word] for word in words if word in SIDES), "")


def with_both_sides(found: Listing) -> Listing:
    """The listing; if all of its images are on one side, as where there is nothing but a train.parquet, on none."""
    if {TRAIN, VALIDATION} <= {source.given for source in found.sources}:
        return found
    taken = {role: how for role, how in found.taken.items() if role != "split"}
    return replace(found, sources=[replace(source, given="") for source in found.sources], taken=taken)

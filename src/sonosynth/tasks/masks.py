"""The masks of a synthetic set: where lesions are in its images."""

from dataclasses import dataclass

import numpy as np

from sonosynth.artefacts import CohortImages, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.errors import UserError


@dataclass(frozen=True)
class OfSet:
    """pixels: (N, H, W), 1 or true where a lesion is. known: (N,) bool; where it isn't, `pixels` mean nothing."""

    pixels: np.ndarray
    known: np.ndarray


def masks_of(made: SyntheticSet, cohort: CohortImages, masks: CohortMasks) -> OfSet:
    """The masks of a set: its own or, of one that repeats real images pixel by pixel, those of these.

    Args:
        masks: those of the cohort.

    Raises:
        UserError: if it has none.
    """
    if made.masks is not None:
        return OfSet(made.masks, made.masked)
    if not made.real or not len(made.rows):
        raise without_masks(made.name)
    rows = cohort.rows(made.rows["source"])
    pixels, real = np.asarray(masks.squares[rows]), np.asarray(cohort.pixels[rows])
    if "mirrored" in made.rows:
        turned = made.rows["mirrored"].to_numpy(bool)[:, None, None]
        pixels, real = (np.where(turned, x[:, :, ::-1], x) for x in (pixels, real))
    if not np.array_equal(real, made.pixels):
        raise without_masks(made.name)
    return OfSet(pixels, masks.known(made.rows["source"]))


def without_masks(name: str) -> UserError:
    """The error that a set, `name`, has no masks."""
    return UserError(
        f"sets.{name}: its images have no masks",
        "a set whose images are made from masks, or repeat real images that have some (kind: copy)",
        "leave it out of the arms that are segmented",
    )

"""The sealed part: images that are set aside before any split, and scored once."""

import numpy as np

from sonosynth.artefacts import VALIDATION
from sonosynth.cohort.partition import split
from sonosynth.cohort.reading import Cohort
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import units_of, why_excluded
from sonosynth.errors import UserError


def draw(cohort: Cohort, settings: Split, share: float, seed: int) -> list[str]:
    """The ids of the sealed images: `share` of each class, as far as whole groups add up to that.

    Groups and chains of near-duplicates stay whole, whatever `settings.groups` says: no other image shows what a sealed
    one does.

    Raises:
        UserError: if a class would have no image on one side.
    """
    excluded = why_excluded(cohort, settings)
    kept = [row for row in range(len(cohort.images)) if row not in excluded]
    position = {row: i for i, row in enumerate(kept)}
    units = units_of(cohort.images, cohort.twins)
    parts = [part for rows in units if (part := [position[row] for row in rows if row in position])]
    labels, contents = cohort.labels, list(cohort.images["pixels"])
    try:
        sides = split(
            [labels[row] for row in kept], [contents[row] for row in kept], parts, share, np.random.default_rng(seed)
        )
    except ValueError:
        raise UserError(
            f"cohort {cohort.path}: a class has too few groups for split.sealed={share:g}",
            "two groups of images of every class, near-duplicates together",
            "add images or groups of that class, or give split.sealed=0",
        ) from None
    ids = list(cohort.images["id"])
    return [ids[row] for row, side in zip(kept, sides, strict=True) if side == VALIDATION]

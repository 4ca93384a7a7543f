"""The split that the cohort itself has: `split.given`."""

from collections.abc import Sequence

from sonosynth.artefacts import VALIDATION
from sonosynth.cohort.exclusions import Exclusion, Reason
from sonosynth.cohort.settings import Split


def used(settings: Split, given: Sequence[str], fold: tuple[int, int] | None) -> bool:
    """Whether the images' own sides are the split: folds and a sealed part divide all images anew."""
    return settings.given == "use" and any(given) and not fold and not settings.sealed


def why_excluded(given: Sequence[str], units: Sequence[Sequence[int]]) -> dict[int, Exclusion]:
    """The images that are on no side, by position: those without one, and training images that belong to a validation
    image, as copies or by their group.

    Args:
        given: the side of each of N images, "" for none. units: their positions, in parts that belong together (see
            `split.units_of`).
    """
    found = {}
    for rows in units:
        held_out = [row for row in rows if given[row] == VALIDATION]
        for row in rows:
            if not given[row]:
                found[row] = Exclusion(Reason.NOWHERE, "is on no side of the cohort's own split")
            elif held_out and row not in held_out:
                text = "its group or its near-duplicates are among the validation images of the cohort's own split"
                found[row] = Exclusion(Reason.ACROSS, text)
    return found

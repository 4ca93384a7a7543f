"""Folds that are values of a column, say hospitals: `split.leave_out`."""

from collections.abc import Sequence

from sonosynth.cohort.exclusions import Exclusion, Reason


def names(values: Sequence[str]) -> list[str]:
    """The distinct values of the column, sorted, which are the folds in this order."""
    return sorted({*values} - {""})


def why_excluded(column: str, values: Sequence[str], units: Sequence[Sequence[int]]) -> dict[int, Exclusion]:
    """The images that are in no fold, by position: those without a value, and those that belong to images of another.

    Args:
        column: its name. values: of each of N images, "" for none. units: their positions, in parts that belong
            together (see `split.units_of`).
    """
    found = {}
    for rows in units:
        own = names([values[row] for row in rows])
        for row in rows:
            if not values[row]:
                found[row] = Exclusion(Reason.NOWHERE, f"has no {column}")
            elif len(own) > 1:
                text = f"its group or its near-duplicates are of several values of {column}: {', '.join(own)}"
                found[row] = Exclusion(Reason.ACROSS, text)
    return found

"""Why images are in no split."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Kinds of reasons."""

    UNUSABLE = "can't be used"
    CONFLICT = "label conflict of near-duplicates"
    OUTVOTED = "another label than most of its near-duplicates"
    ACROSS = "belongs with images of another part"
    NOWHERE = "of no part"
    KEEP = "left out of the training images"


@dataclass(frozen=True)
class Exclusion:
    """Why one image is in no split: the kind of reason, and a text with particulars."""

    reason: Reason
    text: str


def of_conflict(names: Sequence[str], labels: Sequence[str], *, majority: bool) -> dict[str, Exclusion]:
    """Which of some near-duplicates that don't all have one label are left out, by name.

    Args:
        names: of the images. labels: theirs. majority: whether those with the commonest label stay, if there is one.
    """
    (first, most), (_, second) = Counter(labels).most_common(2)
    kept = first if majority and most > second else None
    pairs = list(zip(names, labels, strict=True))
    found = {}
    for name, label in pairs:
        others = ", ".join(f"{other} ({its})" for other, its in pairs if other != name)
        if kept is None:
            found[name] = Exclusion(Reason.CONFLICT, f"label conflict with {others}")
        elif label != kept:
            found[name] = Exclusion(Reason.OUTVOTED, f"outvoted by its near-duplicates {others}")
    return found

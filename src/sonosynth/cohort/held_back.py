"""The job that divides the training images of a split once more: four fifths, and the fifth that judges a probe."""

from dataclasses import dataclass
from pathlib import Path

from sonosynth import disk
from sonosynth.artefacts import INNER, SEALED, TRAIN, VALIDATION, Split, group_names
from sonosynth.cohort.split import a_fifth
from sonosynth.errors import UserError

VERSION = 1
ASKED, INSTEAD = "adapt.stop=probe", "adapt.stop=fixed"
FEWEST = 2  # images of a class that have a kernel distance; and groups, that it has an error


@dataclass(frozen=True)
class HoldingBack:
    """seed: that of the draw."""

    seed: int


def hold_back(settings: HoldingBack, *, split: Split, work: Path) -> None:
    """Hold a fifth of the training images back as the inner side: makes table, which is a `Split` of its own.

    All that the given split doesn't train on counts as validation images there, its inner side included; what is sealed
    stays sealed.

    Raises:
        UserError: if a class has fewer than five training images or groups, or fewer than two in the fifth.
    """
    aside = a_fifth(split.train, settings.seed, ASKED, INSTEAD)
    rows, fifth = split.rows, split.train.loc[aside]
    named = group_names(fifth)
    for label in split.classes:
        if (count := named[fifth["label"] == label].nunique()) < FEWEST:
            raise UserError(
                f"{ASKED}: the fifth of the training images that is held back has {count} group(s) of {label}",
                f"at least {FEWEST} images or groups; about ten of every class to train on",
                INSTEAD,
            )
    kept = rows["split"].isin(["", TRAIN, SEALED])
    table = rows.assign(split=rows["split"].where(kept, VALIDATION))
    table.loc[aside, "split"] = INNER
    disk.write_text(work / "table", table.to_csv(index=False))

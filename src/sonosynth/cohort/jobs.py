"""The jobs of a cohort: its images are decoded once for all other jobs, and split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, progress
from sonosynth.artefacts import INNER, TRAIN, VALIDATION, Artefact, CohortImages
from sonosynth.cohort import own_split, reading, sealing
from sonosynth.cohort import settings as sections
from sonosynth.cohort.decoding import AS_STORED
from sonosynth.cohort.reading import Cohort, Files
from sonosynth.cohort.split import crossing, exclusions, to_table
from sonosynth.cohort.traits import COLOUR, Trait
from sonosynth.errors import UserError

VERSION = 4


@dataclass(frozen=True)
class Reading:
    """files: the cohort's. side: that of the square images, pixels. skip_bad: skip files that can't be used. fill:
    whether marks are filled in. how: values become grey.
    """

    files: Files
    side: int
    skip_bad: bool
    fill: bool = False
    how: sections.Reading = AS_STORED


def decode(settings: Reading, *, work: Path) -> None:
    """Decode every image once: makes images, own and twins (tables), pixels (.npy) and about (JSON).

    Raises:
        UserError: if a file can't be used and is not to be skipped.
    """
    found = reading.decode(settings.files, settings.side, fill=settings.fill, how=settings.how)
    bad = found.problems
    if bad and not settings.skip_bad:
        shown = [f"{name} {why}" for name, why in list(bad.items())[:10]]
        shown += [f"and {len(bad) - 10} more"] * (len(bad) > 10)
        raise UserError(
            f"cohort {found.path}: {len(bad)} of its files can't be used\n  " + "\n  ".join(shown),
            "images and masks that can be decoded",
            "repair or remove these files, or give --skip-bad",
        )
    if bad:
        progress.warn(f"skipped: {len(bad)} file(s) that can't be used; cohort.csv lists them")
    if found.ignored:
        progress.say(f"ignored: {len(found.ignored)} file(s) or folder(s); `sonosynth inspect` lists them")
    if found.few_levels:
        progress.say(
            f"few grey levels: {len(found.few_levels)} image(s), perhaps masks; `sonosynth inspect` lists them"
        )
    disk.write_text(work / "images", found.images.to_csv(index=False))
    disk.write_text(work / "own", found.own.to_csv(index=False))
    disk.write_text(work / "twins", found.twins.to_csv(index=False))
    for trait in found.traits:
        _announce(trait, filled=settings.fill)
    adjacent, traits = ([row.described() for row in rows] for rows in (found.adjacent, found.traits))
    about = {"simulated": found.simulated, "problems": bad, "adjacent": adjacent, "traits": traits}
    disk.write_json(work / "about", about)
    disk.write_array(work / "pixels", found.squares)


def _announce(trait: Trait, *, filled: bool) -> None:
    """Say how many images have a trait, if a user should know."""
    lost = trait.kind == COLOUR
    if not lost or trait.considerable:
        what = (
            "colour is lost, as all images become grey" if lost else f"{trait.kind}, filled in" * filled or trait.kind
        )
        warning = "; this goes with the label, and a classifier may learn it instead of the disease" * trait.suspicious
        (progress.warn if trait.suspicious else progress.say)(f"{what}: {trait.tally}{warning}")


@dataclass(frozen=True)
class Sealing:
    """share: of each class. split: how near-duplicates with several labels are dealt with. seed: the draw's."""

    share: float
    split: sections.Split
    seed: int


def seal(settings: Sealing, *, cohort: CohortImages, work: Path) -> None:
    """Set the sealed part aside, the same for all splits: makes table, the ids of its images."""
    ids = sealing.draw(_as_read(cohort), settings.split, settings.share, settings.seed)
    disk.write_text(work / "table", pd.DataFrame({"id": ids}).to_csv(index=False))
    progress.say(f"sealed: {len(ids)} images, to be scored once, by sonosynth unseal")


@dataclass(frozen=True)
class Splitting:
    """seed: the split's. fold: (k, i), the i-th of k folds is held out, or None for a share of each class. inner:
    whether a fifth of the training images is held back, to choose the epoch or among arms.
    """

    split: sections.Split
    seed: int
    fold: tuple[int, int] | None
    inner: bool


def split(settings: Splitting, *, cohort: CohortImages, sealed: Artefact | None = None, work: Path) -> None:
    """Assign the images to training, validation and, if asked for, the inner side.

    Makes table (cohort.csv) and excluded (a table, see `split.exclusions`).

    Args:
        sealed: the images that are set aside, see `seal`.
    """
    found, aside = _as_read(cohort), list(sealed.table("table", "id")["id"]) if sealed else []
    table = to_table(found, settings.split, settings.seed, settings.fold, inner=settings.inner, sealed=aside)
    excluded = exclusions(found, settings.split, table, settings.fold)
    _announce_own(settings, list(cohort.images["given"]))
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_text(work / "excluded", excluded.to_csv(index=False))
    if len(found.twins):
        across = len(crossing(table, found.twins))
        progress.say(f"near-duplicates: {len(found.twins)} pairs, {across} of them across the split")
    for row in excluded.to_dict("records"):
        progress.say(f"excluded: {row['images']} {row['label'] or 'files'}, {row['reason']}")
    for name, side in (("training", TRAIN), ("inner", INNER), ("validation", VALIDATION)):
        if side == INNER and not settings.inner:
            continue
        rows = table[table["split"] == side]
        counts = ", ".join(f"{n} {label}" for label, n in sorted(rows["label"].value_counts().items()))
        groups = cohort.groups(rows["id"])
        progress.say(f"{name}: {len(rows)} images ({counts})" + f" of {groups} groups" * bool(groups))


def _announce_own(settings: Splitting, given: Sequence[str]) -> None:
    """Say whether the cohort's own split is used, if it has one."""
    if own_split.used(settings.split, given, settings.fold):
        progress.say("split: the cohort's own (--set split.given=ignore draws another)")
    elif any(given):
        why = "split.given=ignore" if settings.split.given == "ignore" else "folds or a sealed part divide it anew"
        progress.say(f"split: the cohort's own is not used ({why})")


def _as_read(cohort: CohortImages) -> Cohort:
    about = cohort.about
    return Cohort(
        Path("of this study"), cohort.images, cohort.twins, np.empty(0), about["problems"], {}, about["simulated"],
        own=cohort.own,
    )  # fmt: skip

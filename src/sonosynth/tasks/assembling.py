"""The images that the models of an arm are trained on, put together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sonosynth import firewall
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.masks import resized
from sonosynth.errors import UserError
from sonosynth.synthesis.jobs import SOURCE_LABEL
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.masks import masks_of
from sonosynth.tasks.training_set import TrainingSet

SOFT = 0.5


def training_set(  # noqa: PLR0913 (what an arm has, and where its images come from)
    name: str, arm: Arm, side: int, *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...],
    copies: tuple[Artefact, ...] = (), critics: tuple[Artefact, ...] = (), masks: CohortMasks | None = None,
) -> TrainingSet:  # fmt: skip
    """The real training images, if they are in, and the images of the sets except those left out.

    Args:
        name: the arm's. side: that of the images, pixels. copies, critics: of each set, if copies are left out, and
            if images are weighted.
        masks: if these are learned: images whose mask is not known are left out.

    Raises:
        UserError: if a scored image is among the origins of an image, or is one; if a set has no masks, but they are
            learned; or if the arm has no image of a class.
    """
    classes = split.classes
    real = split.train if arm.real else split.train[:0]
    if masks is not None:
        real = real[masks.known(real["id"])]
    rows = cohort.rows(real["id"])
    origins = cohort.origins(rows)
    firewall.check(origins.all(), split.scored, "the real training images")
    every = TrainingSet.of_real(
        resize(cohort.pixels[rows], side), codes_of(real["label"], classes), len(classes), origins
    )
    if masks is not None:
        every = replace(every, masks=resized(masks.squares[rows], side))
    place = dict(zip(real["id"], range(len(real)), strict=True))
    scored = pd.concat([split.validation, split.inner, split.sealed])
    scored_pixels = np.asarray(cohort.pixels[cohort.rows(scored["id"])])
    for number, added in enumerate(sets):
        kept = ~added.flawed
        if copies and not added.negative_control:
            found = copies[number].table("table", "file_name")
            kept &= ~added.rows["file_name"].isin(found["file_name"][found["copy"]]).to_numpy()
        names = [f"{added.place('images')}/{name}" for name in added.rows["file_name"]]
        firewall.check(added.files, split.scored, f"synthetic/{added.name}")
        firewall.check_pixels(added.pixels, names, scored_pixels)
        own = masks_of(added, cohort, masks) if masks is not None else None
        kept &= own.known if own else True
        made = added.rows[kept]
        codes = codes_of(made["label"], classes)
        if arm.share and (without := [label for k, label in enumerate(classes) if k not in codes]):
            if set(without) <= set(added.rows["label"]):
                raise without_usable(name, without, added.name)
            raise without_share(name, without, added.name)
        targets = _targets(made, codes, classes)
        if critics:
            said = critics[number].table("table", "file_name").set_index("file_name").loc[made["file_name"]]
            weights = said["recognised" if arm.weight == "threshold" else "confidence"].to_numpy(float)
            targets *= weights[:, None]
        every += TrainingSet(
            resize(added.pixels[kept], side), codes, targets,
            added.origins.choose(np.flatnonzero(kept)), np.ones(len(made), bool),
            np.array([place.get(name, -1) for name in made["source"]], int),
            resized(own.pixels[kept], side) if own else None,
        )  # fmt: skip
    missing = [label for k, label in enumerate(classes) if k not in every.labels]
    if missing and not arm.real:
        raise without_class(name, missing, sets[0].name)
    return every


def _targets(rows: pd.DataFrame, codes: np.ndarray, classes: list[str]) -> np.ndarray:
    """The targets (n, K) of images of a set; of two classes for an image that was edited from one to the other.

    strength ** `SOFT` is the part of the class of its prompt (Diff-Mix, Wang et al., CVPR 2024, with several powers).
    """
    targets: np.ndarray = np.eye(len(classes))[codes]
    if SOURCE_LABEL in rows:
        part = rows["strength"].to_numpy(float)[:, None] ** SOFT
        targets = part * targets + (1 - part) * np.eye(len(classes))[codes_of(rows[SOURCE_LABEL], classes)]
    return targets


def without_share(arm: str, classes: Sequence[str], name: str) -> UserError:
    """The error that a set, `name`, of an arm with a share has no image of some classes."""
    return UserError(
        f"arms.{arm}.share: the set {name} has no image of {', '.join(sorted(classes))}",
        "images of every class in every set of the arm, or the source of an image would give away its class",
        f"give the set a count for every class, for example sets.{name}.count=100",
    )


def without_usable(arm: str, classes: Sequence[str], name: str) -> UserError:
    """The error that a set, `name`, of an arm with a share has images of some classes, but none that can be used."""
    return UserError(
        f"arms.{arm}.share: no image of {', '.join(sorted(classes))} in the set {name} can be used: all were dropped",
        "usable images of every class in every set of the arm (see the column flaw of its metadata.csv)",
        f"a larger sets.{name}.count, sets.{name}.select=false, or an arm without that set",
    )


def without_class(arm: str, classes: Sequence[str], name: str) -> UserError:
    """The error that an arm without real images has no image of some classes; `name` is one of its sets."""
    return UserError(
        f"arms.{arm}.real: is false, and its sets have no image of {', '.join(sorted(classes))} to train on",
        "synthetic images of every class",
        f"give a set a count for every class, for example sets.{name}.count=100",
    )


def codes_of(labels: pd.Series, classes: list[str]) -> np.ndarray:
    """The number (n,) of each label among the classes."""
    codes: np.ndarray = labels.map(classes.index).to_numpy(int)
    return codes

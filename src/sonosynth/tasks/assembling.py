"""The images that the models of an arm are trained on, put together."""

from collections.abc import Mapping, Sequence
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
from sonosynth.tasks.masks import OfSet, masks_of
from sonosynth.tasks.training_set import TrainingSet

SOFT = 0.5


def training_set(  # noqa: PLR0913 (what an arm has, and where its images come from)
    name: str, arm: Arm, side: int, *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...],
    copies: tuple[Artefact, ...] = (), critics: tuple[Artefact, ...] = (), masks: CohortMasks | None = None,
) -> TrainingSet:  # fmt: skip
    """The real training images, if they are in, and the images of the sets except those left out.

    Where all images of a class that the arm needs were dropped, by flaws, as copies, without a mask or with a weight of
    0, they are in nevertheless: see `lost` of `TrainingSet`.

    Args:
        name: the arm's. side: that of the images, pixels. copies, critics: of each set, if copies are left out, and
            if images are weighted.
        masks: if these are learned: images whose mask is not known are left out.

    Raises:
        UserError: if a scored image is among the origins of an image, or is one; if a set has no masks, but they are
            learned; or if no image was made of a class that the arm needs.
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
    # Of a class without real images to train on, an arm with a share takes no synthetic ones, either.
    needed = [label for label in classes if masks is None or not arm.real or (real["label"] == label).any()]
    usable: dict[str, np.ndarray] = {}
    weights: dict[str, np.ndarray] = {}
    made_masks: dict[str, OfSet] = {}
    for number, added in enumerate(sets):
        kept = ~added.flawed
        if copies and not added.negative_control:
            found = copies[number].table("table", "file_name")
            kept &= ~added.rows["file_name"].isin(found["file_name"][found["copy"]]).to_numpy()
        names = [f"{added.place('images')}/{name}" for name in added.rows["file_name"]]
        firewall.check(added.files, split.scored, f"synthetic/{added.name}")
        firewall.check_pixels(added.pixels, names, scored_pixels)
        if masks is not None:
            made_masks[added.name] = masks_of(added, cohort, masks)
            kept &= made_masks[added.name].known
            if arm.share:
                kept &= added.rows["label"].isin(needed).to_numpy()
        weights[added.name] = np.ones(len(kept))
        if critics:
            said = critics[number].table("table", "file_name").set_index("file_name").loc[added.rows["file_name"]]
            column = "recognised" if arm.weight == "threshold" else "confidence"
            weights[added.name] = said[column].to_numpy(float)
        usable[added.name] = kept
    lost = _lost(name, arm, sets, {x: kept & (weights[x] > 0) for x, kept in usable.items()}, needed)
    for added in sets:
        kept = usable[added.name] | added.rows["label"].isin(lost.get(added.name, ())).to_numpy()
        made = added.rows[kept]
        codes = codes_of(made["label"], classes)
        own = made_masks.get(added.name)
        every += TrainingSet(
            resize(added.pixels[kept], side), codes, _targets(made, codes, classes) * weights[added.name][kept, None],
            added.origins.choose(np.flatnonzero(kept)), np.ones(len(made), bool),
            np.array([place.get(name, -1) for name in made["source"]], int),
            resized(own.pixels[kept], side) if own else None,
        )  # fmt: skip
    return replace(every, lost=lost)


def _lost(
    name: str, arm: Arm, sets: Sequence[SyntheticSet], usable: Mapping[str, np.ndarray], classes: list[str]
) -> dict[str, list[str]]:
    """The classes that the arm needs of a set, and of which this has images, but none that is usable.

    Args:
        usable: which images (N,) bool of each set can be used. classes: those that it needs.
    """
    together = [(one,) for one in sets] if arm.share else [] if arm.real else [sets]
    lost: dict[str, list[str]] = {}
    for some in together:
        left = {label for one in some for label in one.rows["label"][usable[one.name]]}
        made = {label for one in some for label in one.rows["label"]}
        if never := sorted({*classes} - made):
            raise (without_share if arm.real else without_class)(name, never, some[0].name)
        for one in some:
            if dropped := sorted(({*one.rows["label"]} & {*classes}) - left):
                lost[one.name] = dropped
    return lost


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

"""Observers: segmenters of real training images, which say where a lesion is seen in synthetic ones.

Like critics, they are cross-fitted: each is trained without a third of the training images, and an image is observed by
those that know neither the image that it was made from nor the one whose mask it was made under; where these two are of
different thirds, by those that don't know the former.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, group_names
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.masks import resized
from sonosynth.errors import UserError
from sonosynth.evidence.overlap import dice
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.assembling import training_set
from sonosynth.tasks.cross_fitting import FOLDS, judges
from sonosynth.tasks.segmentation import segmenter, stored
from sonosynth.tasks.segmentation.segmenter import Recipe, Trained
from sonosynth.tasks.segmentation.settings import Segmenter

VERSION = 1
ARM = Arm(augmentation="classical", balance="oversample")


@dataclass(frozen=True)
class Training:
    """mirror, speckle, precision: as in `segmentation.jobs.Training`. seed: of the folds and the trainings."""

    segmenter: Segmenter
    mirror: bool
    speckle: bool
    precision: str
    seed: int


def train_observers(settings: Training, *, cohort: CohortImages, masks: CohortMasks, split: Split, work: Path) -> None:
    """Train a segmenter on two thirds of the real training images whose masks are known, three times.

    Makes weights (safetensors) and about (JSON; folds: of each of these images, by its SHA-256, the number of the
    segmenter that was not trained on it; side: of the images that they see, pixels).

    Raises:
        UserError: if fewer than three such images or groups are there, or a scored image is among them.
    """
    s, rows = settings.segmenter, split.train[masks.known(split.train["id"])]
    every = training_set("observers", ARM, s.resolution, cohort=cohort, split=split, sets=(), masks=masks)
    fold = _dealt(rows, seeding.derive(settings.seed, "observers"))
    recipe = Recipe(s, s.steps, settings.precision, settings.mirror, settings.speckle)
    trained = []
    for number in range(FOLDS):
        seed = seeding.derive(settings.seed, "observers", number)
        training = every.choose(np.flatnonzero(fold != number))
        trained.append(segmenter.train(training, recipe=recipe, arm=ARM, seed=seed))
    disk.write_bytes(work / "weights", stored.save(trained))
    folds = dict(zip(rows["sha256"], fold.tolist(), strict=True))
    disk.write_json(work / "about", {"folds": folds, "side": s.resolution})


def _dealt(rows: pd.DataFrame, seed: int) -> np.ndarray:
    """The number (N,) of the fold of each row of cohort.csv: groups are whole, and dealt out class by class.

    So folds are as alike as the groups allow, but need no image of every class: a class may have a single image.
    """
    groups = group_names(rows).to_numpy(str)
    first = rows.groupby(groups)[["label", "sha256"]].min().sort_values(["label", "sha256"])
    if len(first) < FOLDS:
        raise UserError(
            f"sets with a condition: {len(first)} training images or groups have masks, and what their images show is"
            " seen by segmenters, each of which is trained without a third of these",
            f"{FOLDS} training images or groups with masks",
            "add masks, or leave out the sets with a condition",
        )
    shuffled = first.iloc[seeding.numpy_generator(seed).permutation(len(first))].sort_values("label", kind="stable")
    number = pd.Series(np.arange(len(first)) % FOLDS, shuffled.index)
    return number[groups].to_numpy(int)


@dataclass(frozen=True)
class Observers:
    """Trained observers. folds: as in `cross_fitting.judges`. side: of the images that they see, pixels."""

    trained: Sequence[Trained]
    folds: Mapping[str, int]
    side: int

    @classmethod
    def open(cls, made: Artefact, split: Split) -> "Observers":
        """What `train_observers` made.

        Raises:
            UserError: if they were trained on a scored image.
        """
        about = made.json("about")
        firewall.check(about["folds"], split.scored, "the training images of the segmenters that observe")
        return cls(stored.load(made.place("weights"), FOLDS), about["folds"], about["side"])

    def seen(self, images: np.ndarray) -> np.ndarray:
        """The masks (K, N, S, S) uint8 that each of K observers sees in images (N, H, W) uint8; S: their `side`."""
        shown = resize(images, self.side)
        return np.stack([one.masks(shown) for one in self.trained])

    def obedience(
        self, images: np.ndarray, masks: np.ndarray, origins: Sequence[frozenset[str]],
        of_masks: Sequence[frozenset[str]],
    ) -> np.ndarray:  # fmt: skip
        """How far images (N, H, W) uint8 show the masks (N, H, W) that they were made under: (N,), 0 to 1.

        Dice of the mask and of what is seen, the mean over the observers that may judge an image, given its origins and
        those of its mask (N each); of an empty mask, 1 if none of these sees anything, else 0.
        """
        asked, (judging, _) = resized(masks, self.side), judges(self.folds, origins, of_masks)
        agreement = np.array(
            [[dice(*pair) if pair[0].any() else not pair[1].any() for pair in zip(asked, seen, strict=True)]
             for seen in self.seen(images)], float,
        )  # fmt: skip
        means = (agreement * judging).sum(axis=0) / judging.sum(axis=0)
        found: np.ndarray = np.where(asked.any(axis=(1, 2)), means, np.where(judging, agreement, 1).min(axis=0))
        return found

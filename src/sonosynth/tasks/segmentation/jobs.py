"""The job that trains a segmenter for one arm and seed, and predicts the masks of the validation images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.masks import resized
from sonosynth.cost import Effort
from sonosynth.evidence.overlap import dice, hd95, lesions
from sonosynth.tasks import LOST, RUN
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.assembling import training_set
from sonosynth.tasks.segmentation import segmenter
from sonosynth.tasks.segmentation.segmenter import Recipe
from sonosynth.tasks.segmentation.settings import Segmenter

VERSION = 1
COLUMNS = [*RUN, "id", "label", "dice", "hd95", "lesions", "found", "false"]
"""Of segmentation.csv: dice is 0 to 1, hd95 in pixels of the segmenter's images, both empty for an image without a
lesion; lesions, those of them that are found, and predicted ones that are none."""


@dataclass(frozen=True)
class Training:
    """One training run.

    name: the arm's. mirror, speckle: as in `segmenter.Recipe`. precision: that of adaptation and synthesis. seed: the
    generator's. number: one of the arm's seeds. draw, split: of the images. generator: as in segmentation.csv. leaks:
    whether the generator was allowed to see the validation images.
    """

    name: str
    arm: Arm
    segmenter: Segmenter
    mirror: bool
    speckle: bool
    precision: str
    seed: int
    number: int
    draw: int
    split: int
    generator: str
    leaks: bool

    @property
    def effort(self) -> Effort:
        """In trainings of an arm without a share: all have the same number of steps."""
        return Effort((self.arm.augmentation,), self.arm.longer)


def train(
    settings: Training, *, cohort: CohortImages, masks: CohortMasks, split: Split, sets: tuple[SyntheticSet, ...] = (),
    copies: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Train for an arm, predict the validation images: makes table (`COLUMNS`), masks (.npy) and about (JSON).

    masks has those that are predicted, (n, H, W) bits packed along the last axis, in the order of table. Images whose
    mask is not known are neither trained on nor predicted. Sealed images are not predicted.

    Raises:
        UserError: if a validation, inner or sealed image is among the origins of the training images, or is itself one
            of them; if a set has no masks; or if the arm has no training image of a class that it needs.
    """
    s, side = settings.segmenter, settings.segmenter.resolution
    training = training_set(
        settings.name, settings.arm, side, cohort=cohort, split=split, sets=sets, copies=copies, masks=masks
    )
    forbidden = split.forbidden(leaks=settings.leaks)
    firewall.check(training.origins.all(), forbidden, f"the training images of the arm {settings.name}")
    steps = settings.arm.steps(s.steps)
    recipe = Recipe(s, steps, settings.precision, settings.mirror, settings.speckle)
    seed = seeding.derive(settings.seed, "segmenter", settings.number)
    trained = segmenter.train(training, recipe=recipe, arm=settings.arm, seed=seed)

    images = split.validation[masks.known(split.validation["id"])]
    rows = cohort.rows(images["id"])
    references = resized(masks.squares[rows], side)
    predicted = trained.masks(resize(cohort.pixels[rows], side))
    of_run = (settings.name, settings.draw, settings.split, settings.generator, settings.number)
    found = [
        (*of_run, id, label, dice(*pair), hd95(*pair), *lesions(*pair))
        for id, label, *pair in zip(images["id"], images["label"], references, predicted, strict=True)
    ]
    disk.write_text(work / "table", pd.DataFrame(found, columns=COLUMNS).to_csv(index=False))
    disk.write_array(work / "masks", np.packbits(predicted, axis=-1))
    lesioned = int(training.masks.any(axis=(1, 2)).sum()) if training.masks is not None else 0
    about = {"arm": settings.name, "n_train": len(training.images), "n_lesions": lesioned, "steps": steps}
    disk.write_json(work / "about", about | ({LOST: training.lost} if training.lost else {}))

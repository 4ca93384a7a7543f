"""The job that trains a classifier for one arm and seed, and predicts the validation images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, hub, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cost import Effort
from sonosynth.errors import UserError
from sonosynth.synthesis import requests
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification.classifier import Recipe, Selection, predict
from sonosynth.tasks.classification.settings import Arm, Classifier
from sonosynth.tasks.training_set import TrainingSet

VERSION = 3


@dataclass(frozen=True)
class Training:
    """One training run.

    name: the arm's. model: to start from, None for random weights. precision: that of adaptation and synthesis. seed:
    the generator's. number: one of the arm's seeds. draw, split: of the images. generator: as in predictions.csv.
    leaks: whether the generator was allowed to see the validation images.
    """

    name: str
    arm: Arm
    classifier: Classifier
    balance: Balance
    model: hub.Model | None
    precision: str
    seed: int
    number: int
    draw: int
    split: int
    generator: str
    leaks: bool

    @property
    def effort(self) -> Effort:
        """Arms have the same number of steps."""
        return Effort((self.arm.augmentation,))


def train(
    settings: Training, *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...] = (),
    copies: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Train for an arm, predict the validation images: makes table (rows of predictions.csv) and about (JSON).

    Real images are resized like synthetic ones: to the study's resolution, then to the classifier's.

    Raises:
        UserError: if a validation or inner image is among the origins of the training images, or is itself one of them;
            or if the arm has no training image of a class.
    """
    s, classes, side = settings.classifier, split.classes, settings.classifier.resolution
    held_out = cohort.rows(split.validation["id"])
    scored = resize(cohort.pixels[held_out], side)
    training = _training_set(settings, cohort, split, sets, copies)
    if not settings.leaks:
        firewall.check(training.origins.all(), split.scored, f"the training images of the arm {settings.name}")
    planned = len(split.train) + sum(requests.plan(list(split.train["label"]), settings.balance.target).values())
    epoch = math.ceil(planned / s.batch)
    select = None
    if s.selection == "validation":
        select = Selection(scored, _codes(split.validation["label"], classes), every=epoch)
    elif s.selection == "inner":
        rows = cohort.rows(split.inner["id"])
        firewall.check(cohort.origins(rows).all(), split.validation["sha256"], "the images that choose the epoch")
        images = resize(cohort.pixels[rows], side)
        select = Selection(images, _codes(split.inner["label"], classes), every=epoch)
    # fp16 lacks the range for training without loss scaling; bf16 has it
    precision = "bf16" if settings.precision == "bf16" else "fp32"
    probabilities = predict(
        training, scored, recipe=Recipe(s, settings.model, len(classes), s.epochs * epoch, precision),
        arm=settings.arm, seed=seeding.derive(settings.seed, "classifier", settings.number), select=select,
    )  # fmt: skip
    predicted = {
        "arm": settings.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator,
        "seed": settings.number, "id": split.validation["id"], "label": split.validation["label"],
    } | {f"p_{label}": probabilities[:, k] for k, label in enumerate(classes)}  # fmt: skip
    disk.write_text(work / "table", pd.DataFrame(predicted).to_csv(index=False))
    about = {"arm": settings.name, "n_train": len(training.images), "steps": s.epochs * epoch}
    disk.write_json(work / "about", about)


def _training_set(
    settings: Training, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...],
    copies: tuple[Artefact, ...],
) -> TrainingSet:  # fmt: skip
    """The real training images, if they are in, and the images of the sets except those left out."""
    side, classes = settings.classifier.resolution, split.classes
    real = split.train if settings.arm.real else split.train[:0]
    rows = cohort.rows(real["id"])
    origins = cohort.origins(rows)
    firewall.check(origins.all(), split.scored, "the real training images")
    images, labels = [resize(cohort.pixels[rows], side)], [_codes(real["label"], classes)]
    scored = pd.concat([split.validation, split.inner])
    scored_pixels = np.asarray(cohort.pixels[cohort.rows(scored["id"])])
    for number, added in enumerate(sets):
        kept = ~added.flawed
        if copies and not added.negative_control:
            found = copies[number].table("table", "file_name")
            kept &= ~added.rows["file_name"].isin(found["file_name"][found["copy"]]).to_numpy()
        names = [f"{added.place('images')}/{name}" for name in added.rows["file_name"]]
        firewall.check(added.files, split.scored, f"synthetic/{added.name}")
        firewall.check_pixels(added.pixels, names, scored_pixels)
        images.append(resize(added.pixels[kept], side))
        labels.append(_codes(added.rows["label"][kept], classes))
        origins = origins + added.origins.choose(np.flatnonzero(kept))
    together, codes = np.concatenate(images), np.concatenate(labels)
    missing = [label for k, label in enumerate(classes) if k not in codes]
    if missing and not settings.arm.real:
        raise without_class(settings.name, missing, sets[0].name)
    return TrainingSet(together, codes, np.ones(len(together)), origins)


def without_class(arm: str, classes: Sequence[str], name: str) -> UserError:
    """The error that an arm without real images has no image of some classes; `name` is one of its sets."""
    return UserError(
        f"arms.{arm}.real: is false, and its sets have no image of {', '.join(sorted(classes))} to train on",
        "synthetic images of every class",
        f"give a set a count for every class, for example sets.{name}.count=100",
    )


def _codes(labels: pd.Series, classes: list[str]) -> np.ndarray:
    codes: np.ndarray = labels.map(classes.index).to_numpy(int)
    return codes

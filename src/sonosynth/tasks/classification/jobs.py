"""The job that trains a classifier for one arm and seed, and predicts the validation images."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, hub, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.split import folds
from sonosynth.errors import UserError
from sonosynth.synthesis import requests
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification.classifier import Recipe, Selection, predict
from sonosynth.tasks.classification.settings import Arm, Classifier
from sonosynth.tasks.training_set import TrainingSet

VERSION = 2


@dataclass(frozen=True)
class Training:
    """One training run.

    name: the arm's. model: to start from, None for random weights. precision: that of adaptation and synthesis. seed:
    the generator's. number: one of the arm's seeds. draw, split: of the images. generator: as in predictions.csv.
    split_seed: the split's. leaks: whether the generator was allowed to see the validation images.
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
    split_seed: int
    leaks: bool


def train(
    settings: Training, *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...] = (),
    copies: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Train for an arm, predict the validation images: makes table (rows of predictions.csv) and about (JSON).

    Real images are resized like synthetic ones: to the study's resolution, then to the classifier's.

    Raises:
        UserError: if a validation image is among the origins of the training images, or is itself one of them.
    """
    s, classes, side = settings.classifier, split.classes, settings.classifier.resolution
    held_out = cohort.rows(split.validation["id"])
    scored = resize(cohort.pixels[held_out], side)
    inner = _inner(split, settings.split_seed) if s.selection == "inner" else np.zeros(len(split.train), bool)
    training = _training_set(settings, cohort, split, sets, copies, inner)
    if not settings.leaks:
        firewall.check(training.origins.all(), split.scored, f"the training images of the arm {settings.name}")
    planned = len(split.train) + sum(requests.plan(list(split.train["label"]), settings.balance.target).values())
    epoch = math.ceil(planned / s.batch)
    select = None
    if s.selection == "validation":
        select = Selection(scored, _codes(split.validation["label"], classes), every=epoch)
    elif s.selection == "inner":
        chosen = split.train[inner]
        images = resize(cohort.pixels[cohort.rows(chosen["id"])], side)
        select = Selection(images, _codes(chosen["label"], classes), every=epoch)
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
    copies: tuple[Artefact, ...], held_back: np.ndarray,
) -> TrainingSet:  # fmt: skip
    """The training images except those held back, and the images of the sets except those left out."""
    side, classes = settings.classifier.resolution, split.classes
    everyone = cohort.rows(split.train["id"])
    firewall.check(cohort.origins(everyone).all(), split.scored, "the real training images")
    rows = everyone[~held_back]
    images = [resize(cohort.pixels[rows], side)]
    labels = [_codes(split.train["label"][~held_back], classes)]
    origins = cohort.origins(rows)
    scored_pixels = np.asarray(cohort.pixels[cohort.rows(split.validation["id"])])
    for number, added in enumerate(sets):
        kept = ~added.flawed
        if copies:
            found = copies[number].table("table", "file_name")
            kept &= ~added.rows["file_name"].isin(found["file_name"][found["copy"]]).to_numpy()
        names = [f"{added.place('images')}/{name}" for name in added.rows["file_name"]]
        firewall.check(added.files, split.scored, f"synthetic/{added.name}")
        firewall.check_pixels(added.pixels, names, scored_pixels)
        images.append(resize(added.pixels[kept], side))
        labels.append(_codes(added.rows["label"][kept], classes))
        origins = origins + added.origins.choose(np.flatnonzero(kept))
    together = np.concatenate(images)
    return TrainingSet(together, np.concatenate(labels), np.ones(len(together)), origins)


def _codes(labels: pd.Series, classes: list[str]) -> np.ndarray:
    codes: np.ndarray = labels.map(classes.index).to_numpy(int)
    return codes


def _inner(split: Split, split_seed: int) -> np.ndarray:
    """Which training images (N,) are held back to choose the epoch: a fifth of each class, groups kept whole."""
    labels, hashes, groups = (list(split.train[name]) for name in ("label", "sha256", "group"))
    try:
        numbers = folds(labels, hashes, groups, 5, seeding.derive(split_seed, "inner"))
    except ValueError as error:
        raise UserError(
            f"classifier.selection=inner: a fifth of the training images can't be held back, {error}",
            "five training images or groups of every class",
            "classifier.selection=last",
        ) from None
    return np.array(numbers) == 0

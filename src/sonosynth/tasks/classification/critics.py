"""Critics: classifiers of real training images, which say what synthetic images show.

Every image is judged by critics that were not trained on the images that it was made from (cross-fitting). What they
say weights the images of a set, or decides which of them are kept: see `selecting`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.split import folds_of
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification import stored
from sonosynth.tasks.classification.classifier import Recipe, Trained, train
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.classification.search import ARM, steps_of
from sonosynth.tasks.classification.settings import Classifier
from sonosynth.tasks.cross_fitting import FOLDS, judges
from sonosynth.tasks.training_set import TrainingSet

VERSION = 2


@dataclass(frozen=True)
class Training:
    """Critics are trained as the arms' classifiers are. seed: of their folds and trainings. The others are those of
    `classification.jobs.Training`.
    """

    classifier: Classifier
    balance: Balance
    start: Start
    precision: str
    seed: int


def train_critics(
    settings: Training, *, cohort: CohortImages, split: Split, search: Artefact | None = None, work: Path
) -> None:
    """Train a critic on two thirds of the real training images, three times.

    Makes weights (safetensors) and about (JSON; folds: of each training image, by its SHA-256, the number of the critic
    that was not trained on it).

    Raises:
        UserError: if a class has fewer than three training images or groups, or a scored image is among those that the
            critics are trained on.
    """
    s, classes, rows = settings.classifier, split.classes, split.train
    steps = steps_of(s, settings.balance, split, search)
    recipe = Recipe(s, settings.start, len(classes), steps, settings.precision)
    places = cohort.rows(rows["id"])
    origins = cohort.origins(places)
    firewall.check(origins.all(), split.scored, "the training images of the critics")
    asked, instead = "critics (arms.NAME.weight, sets.NAME.select)", "weight: none, and select: false"
    fold = folds_of(rows, FOLDS, seeding.derive(settings.seed, "critics"), asked, instead)
    codes, real = (
        np.array([classes.index(label) for label in rows["label"]]),
        resize(cohort.pixels[places], s.resolution),
    )
    trained = []
    for number in range(FOLDS):
        seen = np.flatnonzero(fold != number)
        training = TrainingSet.of_real(real[seen], codes[seen], len(classes), origins.choose(seen))
        seed = seeding.derive(settings.seed, "critics", number)
        trained.append(train(training, recipe=recipe, arm=ARM, seed=seed))
    disk.write_bytes(work / "weights", stored.save(trained))
    disk.write_json(work / "about", {"folds": dict(zip(rows["sha256"], fold.tolist(), strict=True))})


@dataclass(frozen=True)
class Critics:
    """Trained critics.

    folds: of each image that they were trained on, by its SHA-256, the number of the one that has not seen it. side: of
    the images that they are shown, pixels.
    """

    trained: Sequence[Trained]
    folds: Mapping[str, int]
    side: int

    @classmethod
    def open(cls, made: Artefact, start: Start, classes: int, side: int) -> "Critics":
        """What `train_critics` made, of classifiers that began from `start`."""
        return cls(stored.load(made.place("weights"), FOLDS, start, classes), made.json("about")["folds"], side)

    def probabilities(self, images: np.ndarray, origins: Sequence[frozenset[str]]) -> np.ndarray:
        """Of each class (N, K) float64, of images (N, H, W) uint8 and the real images that each was made from (N).

        The mean over the critics that know none of these; over all of them if there is no such critic.
        """
        shown = resize(images, self.side)
        found = np.stack([one.probabilities(shown) for one in self.trained])
        asked, _ = judges(self.folds, origins)
        means: np.ndarray = (found * asked[..., None]).sum(axis=0) / asked.sum(axis=0)[:, None]
        return means


@dataclass(frozen=True)
class Judging:
    """name: the set's. start: of the critics' training. resolution: the classifiers'. draw, split: as in
    predictions.csv.
    """

    name: str
    start: Start
    resolution: int
    draw: int
    split: int


def judge_set(settings: Judging, *, split: Split, images: SyntheticSet, critics: Artefact, work: Path) -> None:
    """Judge a set by critics, as `train_critics` made them: makes table.

    Its columns are set, draw, split, file_name, label, probability (of that label), recognised (whether it is the most
    probable one) and confidence (see `confidence`).
    """
    classes = split.classes
    opened = Critics.open(critics, settings.start, len(classes), settings.resolution)
    firewall.check(opened.folds, split.scored, "the training images of the critics")
    probabilities = opened.probabilities(images.pixels, images.origins.own)
    own = images.rows["label"].map(classes.index).to_numpy(int)
    table = pd.DataFrame(
        {
            "set": settings.name, "draw": settings.draw, "split": settings.split, "file_name": images.rows["file_name"],
            "label": images.rows["label"], "probability": probabilities[np.arange(len(own)), own],
            "recognised": probabilities.argmax(axis=1) == own, "confidence": confidence(probabilities, own),
        }
    )  # fmt: skip
    disk.write_text(work / "table", table.to_csv(index=False))


def confidence(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How much more of its label (N,) an image shows than images of other labels do: 0, no more, to 1.

    (p - b) / (1 - b) times (m - b) / m, both at least 0, where p is the probability (N, K) of the label, m the mean
    probability of that class over the images of the set that have this label, and b over those that have others; 1 / K
    if there are none. So a critic that calls everything benign gives no confidence. Neither does a set whose labels
    mean nothing, though by chance some of its images show their label: the second factor is the part of what images
    show of their label that is not due to chance.
    """
    found = np.zeros(len(labels))
    for k in np.unique(labels):
        own = labels == k
        elsewhere = probabilities[~own, k].mean() if not own.all() else 1 / probabilities.shape[1]
        mean = probabilities[own, k].mean()
        beyond_chance = max(mean - elsewhere, 0) / max(mean, 1e-12)
        found[own] = (probabilities[own, k] - elsewhere) / max(1 - elsewhere, 1e-12) * beyond_chance
    return found.clip(0, 1)

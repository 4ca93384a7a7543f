"""The job that asks classifiers of real training images what the images of a set show, to weight them by that.

Every image is judged by critics that were not trained on the images that it was made from (cross-fitting).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.split import folds
from sonosynth.errors import UserError
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification.classifier import Recipe, predict
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.classification.search import ARM, steps_of
from sonosynth.tasks.classification.settings import Classifier
from sonosynth.tasks.training_set import TrainingSet

VERSION = 1
FOLDS = 3


@dataclass(frozen=True)
class Judging:
    """name: the set's. Critics are trained as the arms' classifiers are. seed: of their folds and trainings.
    draw, split: as in predictions.csv. The others are those of `classification.jobs.Training`.
    """

    name: str
    classifier: Classifier
    balance: Balance
    start: Start
    precision: str
    seed: int
    draw: int
    split: int


def judge_set(
    settings: Judging, *, cohort: CohortImages, split: Split, images: SyntheticSet, search: Artefact | None = None,
    work: Path,
) -> None:  # fmt: skip
    """Train a critic on two thirds of the real training images, three times, and judge a set: makes table.

    Its columns are set, draw, split, file_name, label, probability (of that label), recognised (whether it is the most
    probable one) and confidence (see `confidence`).

    Raises:
        UserError: if a class has fewer than three training images or groups, or a scored image is among those that the
            critics are trained on.
    """
    s, classes, train = settings.classifier, split.classes, split.train
    steps = steps_of(s, settings.balance, split, search)
    recipe = Recipe(s, settings.start, len(classes), steps, settings.precision)
    rows = cohort.rows(train["id"])
    origins = cohort.origins(rows)
    firewall.check(origins.all(), split.scored, "the images that weights of synthetic images come from")
    labels, hashes, groups = (list(train[name]) for name in ("label", "sha256", "group"))
    try:
        fold = np.array(folds(labels, hashes, groups, FOLDS, seeding.derive(settings.seed, "critics")))
    except ValueError as error:
        raise UserError(
            f"arms.NAME.weight: {error}", f"{FOLDS} training images or groups of every class", "weight: none"
        ) from None
    codes, real = np.array([classes.index(label) for label in labels]), resize(cohort.pixels[rows], s.resolution)
    fold_of = dict(zip(hashes, fold, strict=True))
    made = resize(images.pixels, s.resolution)
    found = np.zeros((FOLDS, len(made), len(classes)))
    knows = np.zeros((FOLDS, len(made)), bool)
    for number in range(FOLDS):
        seen = np.flatnonzero(fold != number)
        training = TrainingSet.of_real(real[seen], codes[seen], len(classes), origins.choose(seen))
        seed = seeding.derive(settings.seed, "critics", number)
        found[number] = predict(training, made, recipe=recipe, arm=ARM, seed=seed)
        knows[number] = [any(fold_of.get(name, number) != number for name in own) for own in images.origins.own]
    judges = ~knows | knows.all(axis=0)  # an image made from images of all folds has no critic that knows none of them
    probabilities = (found * judges[..., None]).sum(axis=0) / judges.sum(axis=0)[:, None]
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

    (p - b) / (1 - b), where p is the probability (N, K) of the label, and b the mean probability of that class over the
    images of the set that have other labels; 1 / K if there are none. So a critic that calls everything benign, or a
    set whose labels mean nothing, gives no confidence.
    """
    found = np.zeros(len(labels))
    for k in np.unique(labels):
        own = labels == k
        elsewhere = probabilities[~own, k].mean() if not own.all() else 1 / probabilities.shape[1]
        found[own] = (probabilities[own, k] - elsewhere) / max(1 - elsewhere, 1e-12)
    return found.clip(0, 1)

"""How many steps classifiers take; and the job that finds how many they need, on real training images alone."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import Artefact, CohortImages, Split, group_names
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.split import a_fifth
from sonosynth.evidence.scores import macro_f1
from sonosynth.synthesis import strata
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification.classifier import Recipe, predict
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.classification.settings import Classifier
from sonosynth.tasks.training_set import TrainingSet

VERSION = 2
LADDER = (100, 200, 400, 800)
SEEDS = 2
ARM = Arm(augmentation="classical", balance="oversample")


def steps_of_epoch(settings: Classifier, balance: Balance, split: Split) -> int:
    """The steps in which a classifier sees as many images as there are after the balance plan."""
    train = split.train
    made = strata.plan(strata.members(train, balance.by), balance.target)
    return math.ceil((len(train) + sum(made.values())) / settings.batch)


def steps_of(settings: Classifier, balance: Balance, split: Split, search: Artefact | None) -> int:
    """The steps of every arm's classifiers.

    Args:
        search: what `find_steps` made, if that was asked for.
    """
    if search:
        return int(search.json("about")["steps"])
    return settings.epochs * steps_of_epoch(settings, balance, split) if settings.steps is None else int(settings.steps)


@dataclass(frozen=True)
class Searching:
    """precision, seed, draw, split: as in `classification.jobs.Training`."""

    classifier: Classifier
    start: Start
    precision: str
    seed: int
    draw: int
    split: int


def find_steps(settings: Searching, *, cohort: CohortImages, split: Split, work: Path) -> None:
    """Train for each number of steps of `LADDER` on four fifths of the real training images, and score the fifth.

    Makes table (the learning curve: draw, split, steps, f1, error, chosen) and about (JSON: steps). Chosen is the
    smallest number of steps whose macro F1, mean over seeds, is at most one standard error below the best (Breiman et
    al. 1984, section 3.4.3): that of the difference (`error`), over groups of images.

    Raises:
        UserError: if a class has fewer than five images or groups, or a scored image is among the training images.
    """
    s, classes, train = settings.classifier, split.classes, split.train
    rows = cohort.rows(train["id"])
    firewall.check(cohort.origins(rows).all(), split.scored, "the images that choose the number of steps")
    aside = a_fifth(train, seeding.derive(settings.seed, "steps"), "classifier.steps=auto", "classifier.steps=400")
    held_out = train.index.isin(aside)
    codes = train["label"].map(classes.index).to_numpy(int)
    pixels = resize(cohort.pixels[rows], s.resolution)
    origins = cohort.origins(rows).choose(np.flatnonzero(~held_out))
    training = TrainingSet.of_real(pixels[~held_out], codes[~held_out], len(classes), origins)
    group_of = pd.factorize(group_names(train[held_out]))[0]
    truth = train.loc[held_out, ["label"]].assign(split=0).reset_index(drop=True)
    scores: list[float] = []
    influences: list[np.ndarray] = []
    for steps in LADDER:
        found = [
            macro_f1(truth.assign(**{f"p_{name}": probabilities[:, k] for k, name in enumerate(classes)}))
            for probabilities in (
                predict(
                    training, pixels[held_out], arm=ARM,
                    recipe=Recipe(s, settings.start, len(classes), steps, settings.precision),
                    seed=seeding.derive(settings.seed, "steps", steps, number),
                ) for number in range(SEEDS)
            )
        ]  # fmt: skip
        scores.append(float(np.mean([value for value, _ in found])))
        influences.append(np.bincount(group_of, np.mean([influence for _, influence in found], axis=0)))
    best = int(np.argmax(scores))
    errors = [np.sqrt(((influence - influences[best]) ** 2).sum()) for influence in influences]
    table = pd.DataFrame({"steps": LADDER, "f1": scores, "error": errors})
    chosen = int(table["steps"][table["f1"] >= scores[best] - table["error"]].min())
    table = table.assign(draw=settings.draw, split=settings.split, chosen=table["steps"] == chosen)
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_json(work / "about", {"steps": chosen})

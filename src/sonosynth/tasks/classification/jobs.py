"""The job that trains a classifier for one arm and seed, and predicts the images that nothing is trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import SEALED, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cost import Effort
from sonosynth.section import NO_EFFECT
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks import LOST, RUN
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.assembling import codes_of, training_set
from sonosynth.tasks.classification import classifier, stored
from sonosynth.tasks.classification.classifier import Recipe, Selection
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.classification.search import steps_of, steps_of_epoch
from sonosynth.tasks.classification.settings import Classifier

VERSION = 6
WEIGHTS = "weights"  # the role of a classifier that is kept


@dataclass(frozen=True)
class Training:
    """One training run.

    name: the arm's. precision: that of adaptation and synthesis. seed: the generator's. number: one of the arm's seeds.
    draw, split: of the images. generator: as in predictions.csv. leaks: whether the generator was allowed to see the
    validation images. candidate: whether an arm chooses among this one and others; kept: whether the trained classifier
    is kept. Of both it is what the job makes that tells.
    """

    name: str
    arm: Arm
    classifier: Classifier
    balance: Balance
    start: Start
    precision: str
    seed: int
    number: int
    draw: int
    split: int
    generator: str
    leaks: bool
    candidate: Annotated[bool, NO_EFFECT] = False
    kept: Annotated[bool, NO_EFFECT] = False

    @property
    def effort(self) -> Effort:
        """In trainings of an arm without a share: all have the same number of steps."""
        return Effort((self.arm.augmentation,), self.arm.longer)


def train(
    settings: Training, *, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...] = (),
    copies: tuple[Artefact, ...] = (), critics: tuple[Artefact, ...] = (), search: Artefact | None = None, work: Path,
) -> None:  # fmt: skip
    """Train for an arm, predict the validation images: makes table (rows of predictions.csv) and about (JSON).

    Predictions of sealed images are hidden in `about`, where only the job that opens the sealed part reads them. For a
    candidate it also makes inner: rows of the inner images, see `choice`. For an arm whose classifiers are kept it also
    makes weights: the one that predicted, in half precision, see `stored`.

    Real images are resized like synthetic ones: to the study's resolution, then to the classifier's.

    Args:
        critics: of the sets, if they are weighted: see `critics.judge_set`. search: of the number of steps: see
            `search.find_steps`.

    Raises:
        UserError: if a validation, inner or sealed image is among the origins of the training images, or is itself one
            of them; or if the arm has no training image of a class that it needs.
    """
    s, classes, side = settings.classifier, split.classes, settings.classifier.resolution
    unseen = (split.validation, split.sealed, *([split.inner] if settings.candidate else []))
    images = [resize(cohort.pixels[cohort.rows(x["id"])], side) for x in unseen]
    training = training_set(
        settings.name, settings.arm, side, cohort=cohort, split=split, sets=sets, copies=copies, critics=critics
    )
    forbidden = split.forbidden(leaks=settings.leaks)
    firewall.check(training.origins.all(), forbidden, f"the training images of the arm {settings.name}")
    epoch, steps = steps_of_epoch(s, settings.balance, split), steps_of(s, settings.balance, split, search)
    steps = settings.arm.steps(steps)
    select = None
    if s.selection == "validation":
        select = Selection(images[0], codes_of(split.validation["label"], classes), every=epoch)
    elif s.selection == "inner":
        rows = cohort.rows(split.inner["id"])
        others = pd.concat([split.validation, split.sealed])["sha256"]
        firewall.check(cohort.origins(rows).all(), others, "the images that choose the epoch")
        inner = resize(cohort.pixels[rows], side)
        select = Selection(inner, codes_of(split.inner["label"], classes), every=epoch)
    trained = classifier.train(
        training, arm=settings.arm, recipe=Recipe(s, settings.start, len(classes), steps, settings.precision),
        seed=seeding.derive(settings.seed, "classifier", settings.number), select=select,
    )  # fmt: skip
    probabilities = trained.probabilities(np.concatenate(images))
    parts = np.split(probabilities, np.cumsum([len(x) for x in unseen])[:-1])
    of_run = (settings.name, settings.draw, settings.split, settings.generator, settings.number)
    found, hidden, *choosing = (rows_of(of_run, *x, classes) for x in zip(unseen, parts, strict=True))
    disk.write_text(work / "table", found.to_csv(index=False))
    for rows_of_inner in choosing:
        disk.write_text(work / "inner", rows_of_inner.to_csv(index=False))
    if settings.kept:
        disk.write_bytes(work / WEIGHTS, stored.save([trained], halved=True))
    about: dict[str, object] = {"arm": settings.name, "n_train": len(training.images), "steps": steps}
    about |= {LOST: training.lost} if training.lost else {}
    disk.write_json(work / "about", about | ({SEALED: hidden.to_dict("split", index=False)} if len(hidden) else {}))


def rows_of(
    run: tuple[object, ...], images: pd.DataFrame, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:  # fmt: skip
    """Rows of predictions.csv for images (columns id and label), from probabilities (N, classes).

    Args:
        run: the values of `RUN`.
    """
    about = dict(zip(RUN, run, strict=True)) | {"id": images["id"], "label": images["label"]}
    return pd.DataFrame(about | {f"p_{label}": probabilities[:, k] for k, label in enumerate(classes)})

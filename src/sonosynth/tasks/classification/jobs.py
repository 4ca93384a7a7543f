"""The job that trains a classifier for one arm and seed, and predicts the images that nothing is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, seeding
from sonosynth.artefacts import SEALED, Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cost import Effort
from sonosynth.errors import UserError
from sonosynth.section import NO_EFFECT
from sonosynth.synthesis.jobs import SOURCE_LABEL
from sonosynth.synthesis.settings import Balance
from sonosynth.tasks.classification import classifier, stored
from sonosynth.tasks.classification.classifier import Recipe, Selection
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.classification.search import steps_of, steps_of_epoch
from sonosynth.tasks.classification.settings import Arm, Classifier
from sonosynth.tasks.training_set import TrainingSet

VERSION = 6
SOFT = 0.5
RUN = ("arm", "draw", "split", "generator", "seed")  # columns of predictions.csv that tell trainings apart
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
        longer = self.arm.exposures == "real"
        return Effort((self.arm.augmentation,), 1 / (1 - self.arm.drawn) if longer else 1.0)


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
            of them; or if the arm has no training image of a class.
    """
    s, classes, side = settings.classifier, split.classes, settings.classifier.resolution
    unseen = (split.validation, split.sealed, *([split.inner] if settings.candidate else []))
    images = [resize(cohort.pixels[cohort.rows(x["id"])], side) for x in unseen]
    training = _training_set(settings, cohort, split, sets, copies, critics)
    forbidden = split.forbidden(leaks=settings.leaks)
    firewall.check(training.origins.all(), forbidden, f"the training images of the arm {settings.name}")
    epoch, steps = steps_of_epoch(s, settings.balance, split), steps_of(s, settings.balance, split, search)
    if settings.arm.exposures == "real":
        steps = round(steps / (1 - settings.arm.drawn))
    select = None
    if s.selection == "validation":
        select = Selection(images[0], _codes(split.validation["label"], classes), every=epoch)
    elif s.selection == "inner":
        rows = cohort.rows(split.inner["id"])
        others = pd.concat([split.validation, split.sealed])["sha256"]
        firewall.check(cohort.origins(rows).all(), others, "the images that choose the epoch")
        inner = resize(cohort.pixels[rows], side)
        select = Selection(inner, _codes(split.inner["label"], classes), every=epoch)
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
    about = {"arm": settings.name, "n_train": len(training.images), "steps": steps}
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


def _training_set(
    settings: Training, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...],
    copies: tuple[Artefact, ...], critics: tuple[Artefact, ...] = (),
) -> TrainingSet:  # fmt: skip
    """The real training images, if they are in, and the images of the sets except those left out."""
    side, classes = settings.classifier.resolution, split.classes
    real = split.train if settings.arm.real else split.train[:0]
    rows = cohort.rows(real["id"])
    origins = cohort.origins(rows)
    firewall.check(origins.all(), split.scored, "the real training images")
    every = TrainingSet.of_real(
        resize(cohort.pixels[rows], side), _codes(real["label"], classes), len(classes), origins
    )
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
        made = added.rows[kept]
        codes = _codes(made["label"], classes)
        if settings.arm.share and (without := [label for k, label in enumerate(classes) if k not in codes]):
            if set(without) <= set(added.rows["label"]):
                raise without_usable(settings.name, without, added.name)
            raise without_share(settings.name, without, added.name)
        targets = _targets(made, codes, classes)
        if critics:
            said = critics[number].table("table", "file_name").set_index("file_name").loc[made["file_name"]]
            weights = said["recognised" if settings.arm.weight == "threshold" else "confidence"].to_numpy(float)
            targets *= weights[:, None]
        every += TrainingSet(
            resize(added.pixels[kept], side), codes, targets,
            added.origins.choose(np.flatnonzero(kept)), np.ones(len(made), bool),
            np.array([place.get(name, -1) for name in made["source"]], int),
        )  # fmt: skip
    missing = [label for k, label in enumerate(classes) if k not in every.labels]
    if missing and not settings.arm.real:
        raise without_class(settings.name, missing, sets[0].name)
    return every


def _targets(rows: pd.DataFrame, codes: np.ndarray, classes: list[str]) -> np.ndarray:
    """The targets (n, K) of images of a set; of two classes for an image that was edited from one to the other.

    strength ** `SOFT` is the part of the class of its prompt (Diff-Mix, Wang et al., CVPR 2024, with several powers).
    """
    targets: np.ndarray = np.eye(len(classes))[codes]
    if SOURCE_LABEL in rows:
        part = rows["strength"].to_numpy(float)[:, None] ** SOFT
        targets = part * targets + (1 - part) * np.eye(len(classes))[_codes(rows[SOURCE_LABEL], classes)]
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


def _codes(labels: pd.Series, classes: list[str]) -> np.ndarray:
    codes: np.ndarray = labels.map(classes.index).to_numpy(int)
    return codes

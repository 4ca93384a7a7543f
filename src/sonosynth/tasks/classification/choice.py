"""The jobs of an arm that chooses among others (`best_of`): which of them, and a training of that one.

The choice goes by inner images alone, and the one that is chosen is trained anew, so that the scored images judge the
whole procedure: choose, then train.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cost import Effort
from sonosynth.evidence.scores import macro_f1
from sonosynth.tasks.classification import jobs
from sonosynth.tasks.classification.jobs import Training, train

VERSION = f"1 of {jobs.VERSION}"


@dataclass(frozen=True)
class Choosing:
    """name: the arm's. draw, split, generator: as in predictions.csv."""

    name: str
    draw: int
    split: int
    generator: str


def choose(
    settings: Choosing, *, cohort: CohortImages, split: Split, candidates: tuple[Artefact, ...], work: Path
) -> None:
    """Choose the candidate with the best macro F1 on the inner images, mean over its seeds: makes table.

    Its columns are arm, draw, split, generator, candidate, score and chosen. Of equal ones, the first is chosen.

    Args:
        candidates: what `jobs.train` made for each of them and each seed.

    Raises:
        UserError: if a validation or a sealed image is among those that choose.
    """
    unseen = pd.concat([split.validation, split.sealed])["sha256"]
    scores: dict[str, list[float]] = {}
    for part in candidates:
        rows = part.table("inner", "arm", "id", "label")
        firewall.check(cohort.origins(cohort.rows(rows["id"])).all(), unseen, f"the choice of the arm {settings.name}")
        scores.setdefault(str(rows["arm"].iloc[0]), []).append(macro_f1(rows)[0])
    means = [float(np.mean(values)) for values in scores.values()]
    about = {"arm": settings.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator}
    table = pd.DataFrame(
        {"candidate": list(scores), "score": means, "chosen": np.arange(len(means)) == np.argmax(means)}
    )
    disk.write_text(work / "table", pd.DataFrame(about, table.index).join(table).to_csv(index=False))


@dataclass(frozen=True)
class Anew:
    """How the arm that is chosen is trained.

    trainings: of each candidate, with other seeds than those of the trainings that were compared. sets, critics: which
    of the handles that `train_chosen` gets each candidate needs.
    """

    trainings: dict[str, Training]
    sets: dict[str, tuple[int, ...]]
    critics: dict[str, tuple[int, ...]]

    @property
    def effort(self) -> Effort:
        """That of the first candidate: which is chosen isn't known before."""
        return next(iter(self.trainings.values())).effort


def train_chosen(  # noqa: PLR0913 (a handle for each need of the job)
    settings: Anew, *, choice: Artefact, cohort: CohortImages, split: Split, sets: tuple[SyntheticSet, ...] = (),
    copies: tuple[Artefact, ...] = (), critics: tuple[Artefact, ...] = (), search: Artefact | None = None, work: Path,
) -> None:  # fmt: skip
    """Train the chosen arm anew, with another seed, and predict the validation images: makes table and about.

    The best of several trainings is also the luckiest, and its luck is that of its network, which the scored images see
    as well. What an arm without a choice is compared with has no such luck.

    Args:
        choice: what `choose` made. Others: as in `jobs.train`, of all candidates.
    """
    table = choice.table("table", "candidate")
    chosen = str(table["candidate"][table["chosen"]].item())
    train(
        settings.trainings[chosen], cohort=cohort, split=split,
        sets=tuple(sets[i] for i in settings.sets[chosen]),
        copies=tuple(copies[i] for i in settings.sets[chosen]) if copies else (),
        critics=tuple(critics[i] for i in settings.critics[chosen]), search=search, work=work,
    )  # fmt: skip

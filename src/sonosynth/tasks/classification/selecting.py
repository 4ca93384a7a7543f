"""The job that makes a set of which only those images are kept that critics take for their label, and that differ."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sonosynth import disk, firewall, progress
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cost import Effort
from sonosynth.fidelity import memorisation, nearness
from sonosynth.fidelity.networks import Network, extractor
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis.jobs import Making
from sonosynth.synthesis.selector import Selector
from sonosynth.synthesis.settings import REAL
from sonosynth.tasks.classification.critics import Critics
from sonosynth.tasks.classification.models import Start

VERSION = f"1 of {synthesis.VERSION}"


@dataclass(frozen=True)
class Selecting:
    """batch: that of sampling, whose rounding can decide. network: of the features in which images must differ. start:
    of the critics' training. resolution: the classifiers'. draw, split, generator: as in predictions.csv.
    """

    making: Making
    batch: int
    network: Network
    start: Start
    resolution: int
    draw: int
    split: int
    generator: int

    @property
    def effort(self) -> Effort:
        """That of the set, as far as nothing is dropped."""
        return self.making.effort


def make_selected(  # noqa: PLR0913 (what `synthesis.jobs.make` needs, and what selects)
    settings: Selecting, *, split: Split, critics: Artefact, features: Description, cohort: CohortImages,
    source: SyntheticSet | None = None, adapter: Adapter | None = None, choice: Artefact | None = None,
    masks: CohortMasks | None = None, drawn: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Make a set as `synthesis.jobs.make` does, and select: makes what that makes, and table.

    The columns of table are set, draw, split, generator, and those of `Selector.table`. The samples are not selected.

    Args:
        critics: as `critics.train_critics` made them. features: of the cohort's images, of which those for training say
            how near images of a class are to each other. source, adapter, choice, masks, drawn: as for
            `synthesis.jobs.make`.

    Raises:
        UserError: as that does, or if a scored image is among those that the critics or the floor come from.
    """
    making, classes, rows = settings.making, split.classes, cohort.rows(split.train["id"])
    opened = Critics.open(critics, settings.start, len(classes), settings.resolution)
    firewall.check(opened.folds, split.scored, "the training images of the critics")
    firewall.check(cohort.origins(rows).all(), split.scored, "the floor under the distances between selected images")
    groups = memorisation.groups_of(cohort, split.train)
    floors = nearness.floors(features.values["features"][rows], split.train["label"].to_numpy(str), groups)
    if without := [label for label, floor in floors.items() if not floor.distance]:
        progress.warn(f"{making.name}: no two real images of {', '.join(without)} tell how near two images may be")
    selector = Selector(classes, opened.probabilities, extractor(settings.network), floors)
    synthesis.make(
        making, split=split, cohort=cohort if making.source == REAL else None, source=source, adapter=adapter,
        choice=choice, masks=masks, drawn=drawn, work=work, selector=selector,
    )  # fmt: skip
    about = {"set": making.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator}
    found = selector.table()
    table = pd.DataFrame(about, found.index).join(found)
    disk.write_text(work / "table", table.to_csv(index=False))

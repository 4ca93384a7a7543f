"""The job that makes a set of which only those images are kept that networks trained on real images approve.

Critics have to take them for their label, and they have to differ; or segmenters have to see the mask that was asked
for. The others are made again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd

from sonosynth import disk, firewall, progress
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cost import Effort
from sonosynth.fidelity import memorisation, nearness
from sonosynth.fidelity.networks import Network, extractor
from sonosynth.section import IF_GIVEN
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.selector import ByCritics, ByMask, Rule, Selector
from sonosynth.synthesis.settings import REAL
from sonosynth.tasks.classification.critics import Critics
from sonosynth.tasks.classification.models import Start
from sonosynth.tasks.segmentation.observers import Observers

VERSION = f"2 of {synthesis.VERSION}"


@dataclass(frozen=True)
class Judging:
    """network: of the features in which images must differ. start: of the critics' training. resolution: the
    classifiers'.
    """

    network: Network
    start: Start
    resolution: int


@dataclass(frozen=True)
class Selecting:
    """batch: that of sampling, whose rounding can decide. draw, split, generator: as in predictions.csv. judging: by
    critics. obey: as in `settings.Set`.
    """

    making: Making
    batch: int
    draw: int
    split: int
    generator: int
    judging: Annotated[Judging | None, IF_GIVEN] = None
    obey: Annotated[float | None, IF_GIVEN] = None

    @property
    def effort(self) -> Effort:
        """That of the set, as far as nothing is dropped."""
        return self.making.effort


def make_selected(  # noqa: PLR0913 (what `synthesis.jobs.make` needs, and what selects)
    settings: Selecting, *, split: Split, cohort: CohortImages, critics: Artefact | None = None,
    features: Description | None = None, choosers: Artefact | None = None, source: SyntheticSet | None = None,
    adapter: Adapter | None = None, choice: Artefact | None = None, masks: CohortMasks | None = None,
    drawn: tuple[Artefact, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Make a set as `synthesis.jobs.make` does, and select: makes what that makes, and table.

    The columns of table are set, draw, split, generator, and those of `Selector.table`. The samples are not selected.

    Args:
        critics: as `critics.train_critics` made them. features: of the cohort's images, of which those for training say
            how near images of a class are to each other. choosers: as `observers.train_observers` made them. source,
            adapter, choice, masks, drawn: as for `synthesis.jobs.make`.

    Raises:
        UserError: as that does, or if a scored image is among those that the critics, the floor or the choosers come
            from.
    """
    making, rules = settings.making, list[Rule]()
    if settings.judging and critics and features:
        rules.append(_by_critics(settings.judging, making.name, split, cohort, critics, features))
    if settings.obey is not None and choosers:
        rules.append(ByMask(Observers.open(choosers, split).obedience, settings.obey))
    selector = Selector(rules)
    synthesis.make(
        making, split=split, cohort=cohort if making.source == REAL else None, source=source, adapter=adapter,
        choice=choice, masks=masks, drawn=drawn, work=work, selector=selector,
    )  # fmt: skip
    about = {"set": making.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator}
    found = selector.table()
    table = pd.DataFrame(about, found.index).join(found)
    disk.write_text(work / "table", table.to_csv(index=False))


def _by_critics(
    judging: Judging, name: str, split: Split, cohort: CohortImages, critics: Artefact, features: Description
) -> ByCritics:  # fmt: skip
    classes, rows = split.classes, cohort.rows(split.train["id"])
    opened = Critics.open(critics, judging.start, len(classes), judging.resolution)
    firewall.check(opened.folds, split.scored, "the training images of the critics")
    firewall.check(cohort.origins(rows).all(), split.scored, "the floor under the distances between selected images")
    groups = memorisation.groups_of(cohort, split.train)
    floors = nearness.floors(features.values["features"][rows], split.train["label"].to_numpy(str), groups)
    if without := [label for label, floor in floors.items() if not floor.distance]:
        progress.warn(f"{name}: no two real images of {', '.join(without)} tell how near two images may be")
    return ByCritics(classes, opened.probabilities, extractor(judging.network), floors)

"""The job that scores all arms within subgroups of the validation images."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sonosynth import disk
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.cohort.split import independent
from sonosynth.evidence.subgroups import subgroups
from sonosynth.report.tables import unseen

VERSION = 2


@dataclass(frozen=True)
class Tabulating:
    """blocks: the draw and the fold of each repeat. columns: of the cohort. reference: the arm to compare with."""

    blocks: tuple[tuple[int, int], ...]
    columns: tuple[str, ...]
    reference: str


def tabulate(
    settings: Tabulating, *, cohort: CohortImages, predictions: Artefact, splits: tuple[Split, ...], work: Path
) -> None:
    """Makes table: column, and the columns of `evidence.subgroups`; of the images that the other tables score."""
    every = predictions.table("table", "arm", "generator", "id", "label")
    found = unseen(every, splits, settings.blocks, cohort.twins)
    groups = independent(cohort.images, cohort.twins)
    parts = [
        subgroups(
            found, dict(zip(cohort.own["id"], cohort.own[name], strict=True)), reference=settings.reference,
            groups=groups,
        ).assign(column=name)
        for name in settings.columns
    ]  # fmt: skip
    table = pd.concat(parts)
    disk.write_text(work / "table", table[["column", *table.columns.drop("column")]].to_csv(index=False))

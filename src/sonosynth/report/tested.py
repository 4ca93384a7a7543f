"""The job that judges the arms by what their classifiers say of another cohort."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from sonosynth import disk, firewall
from sonosynth.artefacts import Artefact, CohortImages, SyntheticSet
from sonosynth.evidence import tables
from sonosynth.evidence.blocks import arranged, of_common_images
from sonosynth.report.facts import Fault
from sonosynth.report.tables import Tabulating, all_verdicts, of_images, training_images

VERSION = 3


@dataclass(frozen=True)
class Judging:
    """name: the test's. tabulating: of the arms whose classifiers were kept."""

    name: str
    tabulating: Tabulating


def judge(
    settings: Judging, *, cohort: CohortImages, tested: Artefact, parts: tuple[Artefact, ...],
    copies: tuple[Artefact, ...], sets: tuple[SyntheticSet, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Scores and verdicts on another cohort: makes table, classes and verdicts, like the tables in evaluation/.

    As for the sealed part, blocks are repeats: see `of_common_images`. Neither an epoch that was chosen on validation
    images nor a generator that has seen them is a fault here; copies are, and a generator of which nobody knows what it
    has seen.

    Args:
        tested: what `other_cohort.predict` made. parts: the jobs of the kept classifiers. sets: all that these were
            trained on.

    Raises:
        UserError: if an image that was scored is one of the study's, or a generator was trained on it.
    """
    every = settings.tabulating
    predictions = tested.table("predictions", "arm", "generator", "id", "label")
    images = images_of(tested)
    scored = images["sha256"][images["id"].isin(predictions["id"])]
    seen = frozenset(cohort.images["sha256"]).union(*(made.origins.all() for made in sets))
    firewall.check(seen, scored, f"what is tested on {settings.name}")
    groups = tested.json("about")["groups"]
    found = of_common_images(predictions)
    table, classes = tables.scores(arranged(found, groups), training_images(every, parts))
    unknown = {arm: refusal for arm, refusal in every.refused.items() if refusal.fault is Fault.UNKNOWN}
    refused = {arm: why for arm, why in (unknown | of_images(every, copies, parts)).items() if arm in every.arms}
    verdicts = all_verdicts(every, found, groups, refused, f"on {settings.name}, given this training cohort")
    for name, rows in {"table": table, "classes": classes, "verdicts": verdicts}.items():
        disk.write_text(work / name, rows.to_csv(index=False))


def images_of(tested: Artefact) -> pd.DataFrame:
    """The images of a test, see `other_cohort.COLUMNS`; every column is text."""
    return pd.read_csv(tested.place("images"), dtype=str, keep_default_na=False)


def of_kept(tabulating: Tabulating, kept: tuple[str, ...]) -> Tabulating:
    """The same for some arms alone."""
    return replace(tabulating, arms={arm: one for arm, one in tabulating.arms.items() if arm in kept})

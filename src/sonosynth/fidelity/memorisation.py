"""The jobs that look for copies of training images, in each set and, for comparison, among the validation images."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, progress
from sonosynth.artefacts import Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.cohort.reading import groups_of
from sonosynth.fidelity import copies

VERSION = 1
REAL = "real validation"
"""What validation images are called in memorisation.csv."""


def search_real(_: None, *, cohort: CohortImages, split: Split, features: Description, work: Path) -> None:
    """How similar different real images are: makes thresholds (JSON), and table, of the validation images.

    The thresholds come from the training images alone: how near each is to those of other patients.
    """
    train, held_out = (cohort.rows(side["id"]) for side in (split.train, split.validation))
    firewall.check(cohort.origins(train).all(), split.scored, "the thresholds of the search for copies")
    with progress.task("comparing real images", 2) as bar:
        known = _real(cohort, train, features)
        limits = copies.thresholds(copies.nearest_unrelated(known, _groups(cohort, split)))
        if limits.correlation == float("inf"):
            progress.say("no two training images are known to be of different patients: no copy can be flagged")
        bar.advance()
        found = copies.nearest(_real(cohort, held_out, features), known)
        bar.advance()
    disk.write_json(work / "thresholds", asdict(limits))
    disk.write_text(work / "table", _table(REAL, list(split.validation["id"]), found, limits, split))


def search(
    _: None, *, cohort: CohortImages, split: Split, images: SyntheticSet, real_features: Description,
    features: Description, real: Artefact, work: Path,
) -> None:  # fmt: skip
    """The training image nearest to every image of a set, and whether the latter is a copy: makes table."""
    limits = copies.Thresholds(**real.json("thresholds"))
    found = copies.Nearest(*(np.empty(0, kind) for kind in (float, int, float, int)))
    if len(images.rows):
        train = _real(cohort, cohort.rows(split.train["id"]), real_features)
        made = copies.Images(np.asarray(images.pixels), features.values["features"])
        found = copies.nearest(made, train)
    disk.write_text(work / "table", _table(images.name, list(images.rows["file_name"]), found, limits, split))


def _real(cohort: CohortImages, rows: np.ndarray, features: Description) -> copies.Images:
    return copies.Images(np.asarray(cohort.pixels[rows]), features.values["features"][rows])


def _groups(cohort: CohortImages, split: Split) -> np.ndarray:
    """A number for each training image: the same within a group of cohort.csv and within a chain of near-duplicates."""
    rows = split.train
    named = rows[rows["group"] != ""]
    first = named.groupby("group")["id"].transform("first")
    pairs = pd.concat([cohort.twins[["id", "twin"]], pd.DataFrame({"id": named["id"], "twin": first})])
    pairs = pairs[pairs["id"].isin(rows["id"]) & pairs["twin"].isin(rows["id"])]
    numbers = np.empty(len(rows), int)
    for number, members in enumerate(groups_of(rows["id"], pairs)):
        numbers[members] = number
    return numbers


def _table(name: str, files: list[str], found: copies.Nearest, limits: copies.Thresholds, split: Split) -> str:
    ids = split.train["id"].to_numpy()
    table = pd.DataFrame(
        {
            "set": name,
            "file_name": files,
            "nearest": ids[found.by_correlation],
            "correlation": found.correlation.round(4),
            "nearest_by_features": ids[found.by_cosine],
            "cosine": found.cosine.round(4),
            "copy": copies.flagged(found, limits),
        }
    )
    return table.to_csv(index=False)

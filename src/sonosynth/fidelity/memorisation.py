"""The jobs that look for copies of training images, in each set and, for comparison, among the validation images."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall, progress
from sonosynth.artefacts import TRAIN, Artefact, CohortImages, Description, Split, SyntheticSet
from sonosynth.cohort.reading import group_numbers
from sonosynth.errors import UserError
from sonosynth.fidelity import copies
from sonosynth.firewall import Origins

VERSION = 4
REAL = "real validation"
"""What validation images are called in memorisation.csv."""


def flagged(table: pd.DataFrame, name: str) -> pd.Series:
    """The file names of the images of a set that count as copies of training images, or as the same picture.

    Args:
        table: rows of memorisation.csv.
    """
    found: pd.Series = table["file_name"][
        (table["set"] == name) & (table["copy"].astype(bool) | table["verbatim"].astype(bool))
    ]
    return found


def search_real(_: None, *, cohort: CohortImages, split: Split, features: Description, work: Path) -> None:
    """How similar different real images are: makes thresholds (JSON, by class), and table, of the validation images.

    The thresholds come from the training images alone: how near each is to those of other patients.
    """
    train, held_out = (cohort.rows(side["id"]) for side in (split.train, split.validation))
    firewall.check(cohort.origins(train).all(), split.scored, "the thresholds of the search for copies")
    with progress.task("comparing real images", 2) as bar:
        known, groups = _real(cohort, train, features), groups_of(cohort, split.train)
        unrelated = copies.nearest_unrelated(known, known, groups[:, None], groups)
        limits = copies.thresholds(unrelated, split.train["label"].to_numpy())
        if all(limit.correlation == float("inf") for limit in limits.values()):
            progress.warn("no two training images are known to be of different patients: only verbatim copies count")
        bar.advance()
        found = copies.nearest(_real(cohort, held_out, features), known)
        bar.advance()
    disk.write_json(work / "thresholds", {label: asdict(limit) for label, limit in limits.items()})
    rows, sources = split.validation[["id", "label"]], np.full(len(held_out), np.nan)
    disk.write_text(work / "table", _table(REAL, rows, found, sources, limits, split.train))


@dataclass(frozen=True)
class Foreign:
    """Another generator made the images: what it has seen is claimed, not known."""


def search(
    settings: Foreign | None, *, cohort: CohortImages, split: Split, images: SyntheticSet, real_features: Description,
    features: Description, real: Artefact, work: Path,
) -> None:  # fmt: skip
    """The training image nearest to every usable image of a set, and whether the latter is a copy: makes table.

    With adapt.on=all, the generator's training images are among those: a copy of a validation image is one, too.
    An image that was computed from a training image is meant to resemble it, so it is compared with those of other
    groups; how near it stays to its own source is said beside that.

    Raises:
        UserError: if an image that is `Foreign` shows a scored image again, mirrored, resized or recompressed.
    """
    limits = {label: copies.Thresholds(**values) for label, values in real.json("thresholds").items()}
    found, alike = copies.Nearest(*(np.empty(0, kind) for kind in (float, int, float, int))), np.empty(0)
    usable, known = np.flatnonzero(~images.flawed), _trained_on(split, images.origins)
    if len(usable):
        train = _real(cohort, cohort.rows(known["id"]), real_features)
        made = copies.Images(np.asarray(images.pixels)[usable], features.values["features"][usable])
        if settings:
            _check_foreign(images, usable, made, cohort, split, real_features)
        sources, groups = _sources(images.origins.choose(usable), known), groups_of(cohort, known)
        found = copies.nearest_unrelated(made, train, _of_sources(sources, groups), groups)
        alike = copies.with_sources(made.pixels, train.pixels, sources)
    rows = images.rows[["file_name", "label"]].iloc[usable]
    disk.write_text(work / "table", _table(images.name, rows, found, alike, limits, known))


def _check_foreign(
    images: SyntheticSet, usable: np.ndarray, made: copies.Images, cohort: CohortImages, split: Split,
    real_features: Description,
) -> None:  # fmt: skip
    """Raise UserError if one of the `usable` images is nearest to a scored image, and as near as the same picture."""
    rows = pd.concat([split.train, split.validation, split.inner, split.sealed])
    forbidden = rows["sha256"].isin(split.scored - images.origins.all()).to_numpy()
    found = copies.nearest(made, _real(cohort, cohort.rows(rows["id"]), real_features))
    shown = np.flatnonzero(copies.verbatim(found) & forbidden[found.by_correlation])
    if len(shown):
        real = rows.iloc[found.by_correlation[shown[0]]]
        raise UserError(
            f"sets.{images.name}.folder: {images.rows['source'].iloc[usable[shown[0]]]} shows the {real['split']} image"
            f" {real['id']} again, perhaps mirrored, resized or recompressed (and so do {len(shown) - 1} others)",
            "images of a generator that has seen training images only; scores on these images would mean nothing",
            "remove it, train the generator on the images that cohort.csv calls train, or leave out the set",
        )


def _real(cohort: CohortImages, rows: np.ndarray, features: Description) -> copies.Images:
    return copies.Images(np.asarray(cohort.pixels[rows]), features.values["features"][rows])


def _trained_on(split: Split, origins: Origins) -> pd.DataFrame:
    """The rows of cohort.csv of all images that a classifier or the generator of a set was trained on."""
    rows = split.rows
    return rows[(rows["split"] == TRAIN) | rows["sha256"].isin(origins.all())].reset_index(drop=True)


def groups_of(cohort: CohortImages, rows: pd.DataFrame) -> np.ndarray:
    """A number for each row of cohort.csv: the same within a group there and within a chain of near-duplicates."""
    named = rows[rows["group"] != ""]
    first = named.groupby("group")["id"].transform("first")
    pairs = pd.concat([cohort.twins[["id", "twin"]], pd.DataFrame({"id": named["id"], "twin": first})])
    pairs = pairs[pairs["id"].isin(rows["id"]) & pairs["twin"].isin(rows["id"])]
    return group_numbers(rows["id"], pairs)


def _sources(origins: Origins, known: pd.DataFrame) -> list[list[int]]:
    """The positions among the `known` images of those that each image of a set was computed from."""
    place = {content: row for row, content in enumerate(known["sha256"])}
    return [sorted(place[content] for content in own if content in place) for own in origins.own]


def _of_sources(sources: list[list[int]], groups: np.ndarray) -> np.ndarray:
    """The groups of the sources of each image (N, G), filled up with -1."""
    found = np.full((len(sources), max([1, *map(len, sources)])), -1)
    for own, rows in zip(found, sources, strict=True):
        own[: len(rows)] = groups[rows]
    return found


def _table(
    name: str, rows: pd.DataFrame, found: copies.Nearest, sources: np.ndarray, limits: dict[str, copies.Thresholds],
    compared: pd.DataFrame,
) -> str:  # fmt: skip
    """Rows of memorisation.csv; rows: file names and labels. sources: the correlations with the images' own sources.
    compared: the rows of cohort.csv that `found` counts.
    """
    labels, ids = list(rows["label"]), np.append(compared["id"].to_numpy(), "")  # at -1: none
    table = copies.table(found, labels, limits)
    table = table.assign(nearest=ids[table["nearest"]], nearest_by_features=ids[table["nearest_by_features"]])
    about = pd.DataFrame({"set": name, "file_name": list(rows.iloc[:, 0])})
    table["source_correlation"] = sources.round(4)
    table["near_source"] = sources > np.array([limits[label].correlation for label in labels])
    return pd.concat([about, table], axis=1).to_csv(index=False)

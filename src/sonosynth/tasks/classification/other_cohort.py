"""The job that shows another cohort to the trained classifiers: which of its images count, and what they show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd

from sonosynth import disk, jobs, progress
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort import reading
from sonosynth.cohort import settings as sections
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.reading import Cohort, Files, list_files
from sonosynth.cohort.split import independent, units_of, why_excluded
from sonosynth.cohort.twins import details, find, view
from sonosynth.errors import UserError, first_line
from sonosynth.parallel import in_threads
from sonosynth.section import NO_EFFECT
from sonosynth.tasks import RUN
from sonosynth.tasks.classification import stored
from sonosynth.tasks.classification.jobs import WEIGHTS, rows_of
from sonosynth.tasks.classification.models import Start

VERSION = 1
COLUMNS = ["id", "file", "sha256", "label", "theirs", "mask", "group", "excluded", "detail"]
"""The first columns of tests/NAME/cohort.csv; its own follow."""


class Excluded(StrEnum):
    """Why an image of another cohort is not scored."""

    UNUSABLE = "can't be used"
    UNMAPPED = "of no class of the study"
    KNOWN = "known to the study"
    CONFLICT = "label conflict"


@dataclass(frozen=True)
class Testing:
    """name: the test's. path: the cohort's. contents: as `contents_of`. labels: ours by theirs, see `mapped`. split:
    how near-duplicates with several labels are dealt with. start: of the classifiers' training. side: of the study's
    images, pixels. resolution: the classifiers'. fill, how: whether marks are filled in, and how values become grey, as
    in the study's images. table: how the cohort's table is read.
    """

    name: str
    path: Annotated[Path, NO_EFFECT]
    contents: str
    labels: Mapping[str, str]
    split: sections.Split
    start: Start
    side: int
    resolution: int
    fill: bool
    how: sections.Reading
    table: Annotated[sections.Table, NO_EFFECT] = sections.AS_IT_IS


def contents_of(files: Files) -> str:
    """A digest of what makes a cohort the one it is, wherever it lies: see `reading.contents`."""
    return jobs.key({"images": sorted(reading.contents(jobs.keyed(files)).elements())})


def mapped(ours: Sequence[str], theirs: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """What labels of another cohort mean: one of `ours` by each of `theirs` that has a meaning.

    Equal names mean the same, unless something else is `given`, as texts OURS=THEIRS.

    Raises:
        UserError: if a text names no label of ours or theirs, or one of theirs twice; or if one of ours is not there.
    """
    found: dict[str, str] = {}
    for text in given:
        own = max((x for x in ours if text.startswith(f"{x}=")), key=len, default=None)
        other = text.removeprefix(f"{own}=")
        if own is None or other not in theirs:
            raise UserError(
                f"--labels {first_line(text)}",
                f"OURS=THEIRS; ours: {', '.join(ours)}; theirs: {first_line(', '.join(theirs))}",
            )
        if found.setdefault(other, own) != own:
            raise UserError(f"--labels {first_line(text)}: {other} is {found[other]} already", "one meaning of a label")
    found = {name: name for name in theirs if name in ours} | found
    if missing := [name for name in ours if name not in found.values()]:
        free = [name for name in theirs if name not in found]
        alike = {x: next((y for y in free if y.casefold() == x.casefold()), "THEIRS") for x in missing}
        raise UserError(
            f"the other cohort has no images of {', '.join(missing)}; its labels: {first_line(', '.join(theirs))}",
            "images of every class of the study: its scores are means over all classes",
            f"say which they are: {' '.join(f'--labels {x}={y}' for x, y in alike.items())}; if it has none, run a"
            " study of the classes that both have",
        )
    return dict(sorted(found.items()))


def predict(
    settings: Testing, *, cohort: CohortImages, split: Split, parts: tuple[Artefact, ...],
    sets: tuple[SyntheticSet, ...] = (), work: Path,
) -> None:  # fmt: skip
    """Read another cohort as the study's own, and predict it: makes images, predictions (tables) and about (JSON).

    images has `COLUMNS`, one row per image: `theirs` is its label there, `label` what that means here, "" for nothing;
    images that are `excluded` are not predicted. predictions has the columns of predictions.csv. about has groups: of
    an image that does not stand alone, by its id.

    Args:
        parts: what the jobs of the kept classifiers made. sets: all that these were trained on.

    Raises:
        UserError: if the cohort is not the one that was asked for, or no image of a class is left.
    """
    files, classes = list_files(settings.path, settings.table), split.classes
    if contents_of(files) != settings.contents:
        raise UserError(
            f"cohort {settings.path}: is not the one that was tested as {settings.name}",
            "the same images, with the same labels, groups and masks",
            "restore it, or test it under another --name",
        )
    found = reading.decode(files, settings.side, fill=settings.fill, how=settings.how)
    table = _table(found, settings, cohort, sets)
    rows = np.flatnonzero(table["excluded"].iloc[: len(found.images)] == "")
    scored = table.iloc[rows]
    if missing := sorted(set(classes) - set(scored["label"])):
        counts = "; ".join(f"{reason}: {n}" for reason, n in table["excluded"].value_counts().items() if reason)
        raise UserError(
            f"cohort {settings.path}: no image of {', '.join(missing)} is left ({counts})",
            "images of every class that the study doesn't know: its scores are means over all classes",
            "test a cohort that has some",
        )
    progress.say(f"{settings.name}: {len(scored)} images are scored, {len(table) - len(scored)} left out")
    shown, predictions = resize(found.squares[rows], settings.resolution), []
    with progress.task(f"testing on {settings.name}", len(parts)) as bar:
        for part in parts:
            run = tuple(part.table("table", "arm", "generator", "id", "label").iloc[0][list(RUN)])
            [trained] = stored.load(part.place(WEIGHTS), 1, settings.start, len(classes))
            predictions.append(rows_of(run, scored, trained.probabilities(shown), classes))
            bar.advance()
    disk.write_text(work / "images", table.to_csv(index=False))
    disk.write_text(work / "predictions", pd.concat(predictions).to_csv(index=False))
    disk.write_json(work / "about", {"groups": independent(found.images, found.twins), "simulated": found.simulated})


def _table(found: Cohort, settings: Testing, cohort: CohortImages, sets: Sequence[SyntheticSet]) -> pd.DataFrame:
    """cohort.csv of the test: the images that were decoded, then files that can't be used."""
    theirs = found.images["label"]
    label = theirs.map(settings.labels).fillna("")
    table = found.images.assign(theirs=theirs, label=label, excluded="", detail="")
    meant = Cohort(
        found.path, found.images.assign(label=label.where(label != "", theirs)), found.twins, found.squares, {}, {},
        simulated=found.simulated,
    )  # fmt: skip
    conflicts = why_excluded(meant, settings.split.model_copy(update={"leave_out": ""}))
    reasons = (
        (Excluded.CONFLICT, [conflicts[row].text if row in conflicts else "" for row in range(len(table))]),
        (Excluded.KNOWN, _known(found, cohort, sets)),
        (Excluded.UNMAPPED, [f"labelled {x}" * (y == "") for x, y in zip(theirs, label, strict=True)]),
    )  # the last that applies is named
    for reason, details_of in reasons:
        applies = np.array(details_of) != ""
        table.loc[applies, "excluded"] = str(reason)
        table.loc[applies, "detail"] = np.array(details_of)[applies]
    bad = [
        {"id": name, "file": name, "excluded": str(Excluded.UNUSABLE), "detail": why}
        for name, why in found.problems.items()
    ]
    own = found.own.drop(columns=[name for name in COLUMNS[1:] if name in found.own])
    every = pd.concat([table[COLUMNS], pd.DataFrame(bad, columns=COLUMNS).fillna("")], ignore_index=True)
    return every.merge(own, on="id", how="left").fillna("")


def _known(found: Cohort, cohort: CohortImages, sets: Sequence[SyntheticSet]) -> list[str]:
    """What makes each image of another cohort known to a study, "" for those that are not.

    Copies and near-duplicates of its images, whatever side they were on, images that the generator of a set was trained
    on, and all that belongs with any of these: other images of the same patient.
    """
    images, study = found.images, cohort.images
    of_hash, of_pixels = (dict(zip(study[name], study["id"], strict=True)) for name in ("sha256", "pixels"))
    trained_on = frozenset().union(*(made.origins.all() for made in sets))
    views = list(in_threads(view, [*cohort.pixels, *found.squares]))
    first = len(study)
    near = {t.second - first: study["id"][t.first] for t in find(views, details(views)) if t.first < first <= t.second}
    known = []
    for row, (content, pixels) in enumerate(zip(images["sha256"], images["pixels"], strict=True)):
        if copied := of_hash.get(content) or of_pixels.get(pixels):
            known.append(f"copy of {copied}")
        elif row in near:
            known.append(f"near-duplicate of {near[row]}")
        else:
            known.append("seen by the generator of a set" if content in trained_on else "")
    for unit in units_of(images, found.twins):
        if sources := [row for row in unit if known[row]]:
            for row in unit:
                known[row] = known[row] or f"belongs with {images['id'][sources[0]]}: {known[sources[0]]}"
    return known

"""A cohort read from disk, its table, and its description."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sonosynth import progress
from sonosynth.cohort.decoding import Unusable, read_grey, read_mask, to_square
from sonosynth.cohort.sources import Source, inert, leads_out, list_sources
from sonosynth.cohort.splitting import TRAIN, VALIDATION, folds, split
from sonosynth.cohort.twins import Twins, View, components, find, view
from sonosynth.errors import UserError
from sonosynth.parallel import in_threads

COLUMNS = ["id", "file", "sha256", "label", "mask", "group", "split", "excluded"]
SMALLEST = 8  # pixels
TWIN_COLUMNS = ["id", "twin", "hash_distance", "correlation", "mirrored"]


@dataclass
class Cohort:
    """What is in a cohort. Lists are parallel: one entry per usable image, ordered by id.

    sha256: of the file's bytes. pixels: digest of the grey pixels, equal for exact copies. views: what is compared to
    find twins. sizes: (width, height). modes: Pillow's names of the stored format. lesion: share of the image that the
    mask covers, NaN without one. problems: images and masks that can't be used. ignored: what was left aside; both name
    to reason.
    """

    root: Path
    sources: list[Source] = field(default_factory=list)
    sha256: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    lesion: list[float] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The label of each image."""
        return [source.label for source in self.sources]

    @cached_property
    def twins(self) -> list[Twins]:
        """All pairs of near-duplicates, exact copies among them."""
        return find(self.views)

    def units(self, *, with_twins: bool) -> list[list[int]]:
        """The positions of the images in parts that a split keeps together.

        Images of one named group and exact copies always are, chains of twins where asked for.
        """
        pairs = [(t.first, t.second) for t in self.twins] if with_twins else []
        first: dict[tuple[str, str], int] = {}
        for row, (source, pixels) in enumerate(zip(self.sources, self.pixels, strict=True)):
            for key in [("pixels", pixels)] + [("group", source.group)] * bool(source.group):
                pairs.append((first.setdefault(key, row), row))
        return components(len(self.sources), pairs)

    def copies(self) -> list[list[int]]:
        """Positions of the images whose pixels are exactly the same, group by group."""
        groups: dict[str, list[int]] = {}
        for row, pixels in enumerate(self.pixels):
            groups.setdefault(pixels, []).append(row)
        return [rows for rows in groups.values() if len(rows) > 1]

    def conflicts(self) -> list[list[int]]:
        """Positions of twins that don't all have one label, group by group."""
        groups = components(len(self.sources), [(t.first, t.second) for t in self.twins])
        return [rows for rows in groups if len({self.labels[row] for row in rows}) > 1]

    def describe(self) -> dict[str, Any]:
        """What `sonosynth inspect` prints, as JSON values."""
        widths, heights = zip(*self.sizes, strict=True)
        return {
            "images": len(self.sources),
            "classes": dict(sorted(Counter(self.labels).items())),
            "width": [min(widths), max(widths)],
            "height": [min(heights), max(heights)],
            "modes": dict(Counter(self.modes).most_common()),
            "masks": dict(sorted(Counter(s.label for s in self.sources if s.masks).items())),
            "lesion_share": {
                label: round(float(np.mean(shares)), 4)
                for label in sorted(set(self.labels))
                if (shares := [v for v, k in zip(self.lesion, self.labels, strict=True) if k == label and v > 0])
            },
            "groups": len({source.group for source in self.sources if source.group}),
            "exact_copies": self._ids(self.copies()),
            "twins": self._ids([[t.first, t.second] for t in self.twins]),
            "label_conflicts": self._ids(self.conflicts()),
            "unusable": self.problems,
            "ignored": self.ignored,
        }

    def _ids(self, groups: list[list[int]]) -> list[list[str]]:
        return [[self.sources[row].id for row in rows] for rows in groups]


def read(path: Path) -> Cohort:
    """Decode every file of the cohort at `path` once, to know what is in it.

    Raises:
        UserError: if there is no cohort at `path`.
    """
    listing = list_sources(path)
    cohort = Cohort(listing.root, problems=dict(listing.problems), ignored=listing.ignored)
    with progress.task("reading the cohort", len(listing.sources)) as bar:
        for source, found in zip(listing.sources, in_threads(_look, listing.sources), strict=True):
            bar.advance()
            if isinstance(found, str):
                cohort.problems[_relative(source.file, cohort.root)] = found
                continue
            cohort.sources.append(source)
            for name, value in found.items():
                getattr(cohort, name).append(value)
    if not cohort.sources:
        reasons = "\n  ".join(f"{name} {reason}" for name, reason in list(cohort.problems.items())[:10])
        raise UserError(f"cohort {path}: none of its files can be used\n  {reasons}")
    return cohort


def _look(source: Source) -> dict[str, Any] | str:
    """What a `Cohort` keeps of an image, by its names there, or why it can't be used."""
    try:
        data = source.file.read_bytes()
        grey = read_grey(source.file)
        if min(grey.shape) < SMALLEST:
            raise Unusable(f"is {grey.shape[1]} x {grey.shape[0]} pixels; a picture has {SMALLEST} a side or more")
        with Image.open(source.file) as image:
            mode = image.mode
        return {
            "sha256": hashlib.sha256(data).hexdigest(),
            "pixels": hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest(),
            "views": view(grey),
            "sizes": (grey.shape[1], grey.shape[0]),
            "modes": mode,
            "lesion": float(read_mask(list(source.masks), grey.shape).mean()) if source.masks else float("nan"),
        }
    except (Unusable, OSError) as error:
        return str(error)


def to_table(
    cohort: Cohort, seed: int, *, holdout: float, with_twins: bool, with_conflicts: bool, skip_bad: bool = False,
    fold: tuple[int, int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The rows of cohort.csv (see `COLUMNS`), ordered by id; paths are relative to the cohort.

    Args:
        seed: of the split. holdout: share of each class that is held out.
        with_twins: whether twins stay on one side; images of one named group and exact copies always do.
        with_conflicts: whether twins with several labels stay in; else they are excluded, and the reason given.
        skip_bad: whether files that can't be used are listed as excluded, with the reason, instead of refused.
        fold: (k, i) holds out the i-th of k folds instead.

    Raises:
        UserError: if a file can't be used, or there are too few classes or images for a study.
    """
    bad = cohort.problems
    if bad and not skip_bad:
        shown = [f"{name} {why}" for name, why in list(bad.items())[:10]]
        shown += [f"and {len(bad) - 10} more"] * (len(bad) > 10)
        raise UserError(
            f"cohort {cohort.root}: {len(bad)} of its files can't be used\n  " + "\n  ".join(shown),
            "images and masks that can be decoded",
            "mend or remove these files, or give --skip-bad",
        )
    counts = Counter(cohort.labels)
    if len(counts) < 2:
        raise UserError(
            f"cohort {cohort.root}: has one class, {next(iter(counts))}",
            "at least two classes",
            "give the folder that holds the class folders, not one of them",
        )
    excluded = [""] * len(cohort.sources)
    for rows in [] if with_conflicts else cohort.conflicts():
        for row in rows:
            others = ", ".join(f"{cohort.sources[i].id} ({cohort.labels[i]})" for i in rows if i != row)
            excluded[row] = f"label conflict with {others}"
    kept = [row for row, reason in enumerate(excluded) if not reason]
    place = {row: i for i, row in enumerate(kept)}
    units = cohort.units(with_twins=with_twins)
    groups = [""] * len(cohort.sources)
    for rows in units:
        named = sorted({cohort.sources[row].group for row in rows} - {""})
        for row in rows if named or len(rows) > 1 else []:
            groups[row] = " + ".join(named) or f"twins of {cohort.sources[rows[0]].id}"
    sides = [""] * len(cohort.sources)
    labels, hashes = [cohort.labels[row] for row in kept], [cohort.pixels[row] for row in kept]
    try:
        if fold:
            found = folds(labels, hashes, [groups[row] for row in kept], fold[0], seed)
            drawn = [VALIDATION if number == fold[1] else TRAIN for number in found]
        else:
            parts = [part for rows in units if (part := [place[row] for row in rows if row in place])]
            drawn = split(labels, hashes, parts, holdout, np.random.default_rng(seed))
    except ValueError as error:
        how = f"{fold[0]} folds leave" if fold else f"a split with split.holdout={holdout} leaves"
        raise UserError(
            f"cohort {cohort.root}: {how} {error}",
            "images of every class on both sides",
            "add images or groups of that class, or change split.holdout, split.groups or repeats.folds",
        ) from None
    for row, side in zip(kept, drawn, strict=True):
        sides[row] = side
    skipped = pd.DataFrame(
        {"id": list(bad), "file": list(bad), "excluded": [f"can't be used: {reason}" for reason in bad.values()]},
        columns=COLUMNS,
    )
    usable = pd.DataFrame(
        {
            "id": [source.id for source in cohort.sources],
            "file": [_relative(source.file, cohort.root) for source in cohort.sources],
            "sha256": cohort.sha256,
            "label": cohort.labels,
            "mask": [";".join(_relative(mask, cohort.root) for mask in source.masks) for source in cohort.sources],
            "group": groups,
            "split": sides,
            "excluded": excluded,
        },
        columns=COLUMNS,
    )
    return pd.concat([usable, skipped.fillna("")], ignore_index=True)


def twins_table(cohort: Cohort) -> pd.DataFrame:
    """The rows of twins.csv (see `TWIN_COLUMNS`): every pair of near-duplicates."""
    rows = [
        (cohort.sources[t.first].id, cohort.sources[t.second].id, t.distance, round(t.correlation, 4), t.mirrored)
        for t in cohort.twins
    ]
    return pd.DataFrame(rows, columns=TWIN_COLUMNS)


def crossing(table: pd.DataFrame, twins: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of twins.csv (ids) that have one image among the training and one among the validation images."""
    side = dict(zip(table["id"], table["split"], strict=True))
    pairs = zip(twins["id"], twins["twin"], strict=True)
    return [(a, b) for a, b in pairs if {side[a], side[b]} == {TRAIN, VALIDATION}]


def load_table(path: Path) -> pd.DataFrame:
    """cohort.csv of a run; every column is text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_images(root: Path, table: pd.DataFrame, side: int) -> np.ndarray:
    """(N, side, side) uint8 grey of the rows of a cohort's table.

    Raises:
        UserError: if a file is gone or is not the one that the table was made from.
    """
    images = np.empty((len(table), side, side), np.uint8)
    rows = list(zip(table["file"], table["sha256"], strict=True))
    for i, image in enumerate(in_threads(lambda row: _read_unchanged(root, *row, side), rows)):
        images[i] = image
    return images


def _read_unchanged(root: Path, name: str, expected: str, side: int) -> np.ndarray:
    file = root / name
    if leads_out(file, root):
        raise UserError(f"{file}: lies outside of {root}", "files of the cohort")
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
        state = "has changed since" if file.is_file() else "is gone since"
        raise UserError(f"{file}: {state} the cohort was read", fix="run `sonosynth run` again")
    return to_square(read_grey(file), side)


def _relative(path: Path, root: Path) -> str:
    return inert(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())

"""A cohort read from disk, its table, and its description."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sonosynth import progress
from sonosynth.cohort.decoding import Unusable, read_grey, read_mask, to_square
from sonosynth.cohort.sources import Source, list_sources
from sonosynth.cohort.splitting import split
from sonosynth.errors import UserError

COLUMNS = ["id", "file", "sha256", "label", "mask", "group", "split", "excluded"]


@dataclass
class Cohort:
    """What is in a cohort. Lists are parallel: one entry per usable image, ordered by id.

    sha256: of the file's bytes. pixels: digest of the grey pixels, equal for exact copies. sizes: (width,
    height). modes: Pillow's names of the stored format. lesion: share of the image that the mask covers, NaN
    without one. problems: images and masks that can't be used. ignored: what was left aside; both name to reason.
    """

    root: Path
    sources: list[Source] = field(default_factory=list)
    sha256: list[str] = field(default_factory=list)
    pixels: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    lesion: list[float] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The label of each image."""
        return [source.label for source in self.sources]

    def copies(self) -> list[list[str]]:
        """Ids of the images whose pixels are exactly the same, group by group."""
        groups: dict[str, list[str]] = {}
        for source, pixels in zip(self.sources, self.pixels, strict=True):
            groups.setdefault(pixels, []).append(source.id)
        return [ids for ids in groups.values() if len(ids) > 1]

    def describe(self) -> dict[str, Any]:
        """What `sonosynth inspect` prints, as JSON values."""
        label_of = {source.id: source.label for source in self.sources}
        copies = self.copies()
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
            "exact_copies": copies,
            "label_conflicts": [ids for ids in copies if len({label_of[id] for id in ids}) > 1],
            "unusable": self.problems,
            "ignored": self.ignored,
        }


def read(path: Path) -> Cohort:
    """Decode every file of the cohort at `path` once, to know what is in it.

    Raises:
        UserError: if there is no cohort at `path`.
    """
    listing = list_sources(path)
    cohort = Cohort(listing.root, problems=dict(listing.problems), ignored=listing.ignored)
    with progress.task("reading the cohort", len(listing.sources)) as bar:
        for source in listing.sources:
            bar.advance()
            try:
                data = source.file.read_bytes()
                grey = read_grey(source.file)
                covered = float(read_mask(list(source.masks), grey.shape).mean()) if source.masks else float("nan")
                with Image.open(source.file) as image:
                    mode = image.mode
            except (Unusable, OSError) as error:
                cohort.problems[_relative(source.file, cohort.root)] = str(error)
                continue
            cohort.sources.append(source)
            cohort.sha256.append(hashlib.sha256(data).hexdigest())
            cohort.pixels.append(hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest())
            cohort.sizes.append((grey.shape[1], grey.shape[0]))
            cohort.modes.append(mode)
            cohort.lesion.append(covered)
    if not cohort.sources:
        reasons = "\n  ".join(f"{name} {reason}" for name, reason in list(cohort.problems.items())[:10])
        raise UserError(f"cohort {path}: none of its files can be used\n  {reasons}")
    return cohort


def to_table(cohort: Cohort, holdout: float, rng: np.random.Generator) -> pd.DataFrame:
    """The rows of cohort.csv (see `COLUMNS`), ordered by id; paths are relative to the cohort.

    Raises:
        UserError: if a file can't be used, or there are too few classes or images for a study.
    """
    bad = cohort.problems
    if bad:
        shown = [f"{name} {why}" for name, why in list(bad.items())[:10]]
        shown += [f"and {len(bad) - 10} more"] * (len(bad) > 10)
        raise UserError(
            f"cohort {cohort.root}: {len(bad)} of its files can't be used\n  " + "\n  ".join(shown),
            "images and masks that can be decoded",
            "mend or remove these files",
        )
    counts = Counter(cohort.labels)
    if len(counts) < 2:
        raise UserError(
            f"cohort {cohort.root}: has one class, {next(iter(counts))}",
            "at least two classes",
            "give the folder that holds the class folders, not one of them",
        )
    groups = [source.group for source in cohort.sources]
    try:
        sides = split(cohort.labels, cohort.pixels, groups, holdout, rng)
    except ValueError as error:
        raise UserError(
            f"cohort {cohort.root}: a split with split.holdout={holdout} leaves {error}",
            "images of every class on both sides",
            "add images or groups of that class, or change split.holdout",
        ) from None
    return pd.DataFrame(
        {
            "id": [source.id for source in cohort.sources],
            "file": [_relative(source.file, cohort.root) for source in cohort.sources],
            "sha256": cohort.sha256,
            "label": cohort.labels,
            "mask": [";".join(_relative(mask, cohort.root) for mask in source.masks) for source in cohort.sources],
            "group": groups,
            "split": sides,
            "excluded": "",
        },
        columns=COLUMNS,
    )


def load_table(path: Path) -> pd.DataFrame:
    """cohort.csv of a run; every column is text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_images(root: Path, table: pd.DataFrame, side: int) -> np.ndarray:
    """(N, side, side) uint8 grey of the rows of a cohort's table.

    Raises:
        UserError: if a file is gone or is not the one that the table was made from.
    """
    images = np.empty((len(table), side, side), np.uint8)
    for i, (name, expected) in enumerate(zip(table["file"], table["sha256"], strict=True)):
        file = root / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            state = "has changed since" if file.is_file() else "is gone since"
            raise UserError(f"{file}: {state} the cohort was read", fix="run `sonosynth run` again")
        images[i] = to_square(read_grey(file), side)
    return images


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()

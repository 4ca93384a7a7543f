"""Images that another generator made: listed and hashed when a study is planned, decoded when their set is made."""

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from sonosynth.artefacts import TRAIN
from sonosynth.cohort import decoding
from sonosynth.cohort.formats import folders
from sonosynth.cohort.places import file_of
from sonosynth.disk import sha256
from sonosynth.errors import UserError, first_line
from sonosynth.parallel import in_threads
from sonosynth.section import NO_EFFECT
from sonosynth.synthesis import requests
from sonosynth.synthesis.settings import Set

LAYOUT = "a folder with one folder of images for each class, named as the cohort's labels"


@dataclass(frozen=True)
class Given:
    """N images in class folders.

    root: the folder. files: their names, relative to it, by class; a name's first part is the image's label. sha256: of
    their bytes. trained_on: the SHA-256s of the cohort's images that their generator has seen, sorted; None if that is
    not known.
    """

    root: Annotated[Path, NO_EFFECT]
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    trained_on: tuple[str, ...] | None

    @property
    def counts(self) -> Counter[str]:
        """The number of images of each class."""
        return Counter(map(label_of, self.files))


def label_of(file: str) -> str:
    """The label of an image, by its name in the folder."""
    return file.partition("/")[0]


def find(root: Path, name: str, made: Set, labels: Sequence[str], known: Collection[str]) -> Given:
    """List and hash the images of the set `name`, in the class folders of `root`; none is decoded.

    Args:
        labels: the cohort's. known: the SHA-256s of its images.

    Raises:
        UserError: if there is no such folder, it holds no image, one of another class, a file that can't be opened or
            fewer images than are asked for; or if the table of what the generator has seen can't be read, or lists what
            is no image of the cohort.
    """
    place = f"sets.{name}.folder: {root}"
    if not root.is_dir():
        raise UserError(f"{place}: {'is not a folder' if root.exists() else 'does not exist'}", LAYOUT)
    listing = folders.listing(root)
    if bad := [f"{file} {reason}" for file, reason in listing.problems.items()]:
        raise _unusable(place, bad)
    files = sorted(file_of(source.file).relative_to(root).as_posix() for source in listing.sources)
    files = [file for file in files if file.count("/") == 1]  # deeper down lie those of other repeats
    if unknown := sorted({*map(label_of, files)} - set(labels)):
        raise UserError(
            f"{place}: holds images of {first_line(', '.join(unknown))}, and the cohort has no such class",
            f"images of {', '.join(labels)}",
            "rename or remove the folder of that class",
        )
    if not files:
        raise UserError(f"{place}: holds no images in class folders", LAYOUT)
    if made.count is not None:
        files = _first(files, requests.declared(made.count, labels, name), place)
    hashes = in_threads(sha256, [root / file for file in files])
    seen = None if made.trained_on is None else _seen(root / made.trained_on, known, f"sets.{name}.trained_on")
    return Given(root, tuple(files), tuple(hashes), seen)


def _first(files: Sequence[str], counts: Mapping[str, int], place: str) -> list[str]:
    """The first images of each class, as many as are asked for."""
    of_class = {label: [file for file in files if label_of(file) == label] for label in counts}
    for label, count in counts.items():
        if count > len(of_class[label]):
            raise UserError(
                f"{place}: holds {len(of_class[label])} images of {label}, and {count} are asked for",
                fix="make more of them, or give a lower count",
            )
    return [file for label, count in counts.items() for file in of_class[label][:count]]


def _seen(file: Path, known: Collection[str], what: str) -> tuple[str, ...]:
    """The images that a table lists; of one with a column `split`, as cohort.csv has it, the training images."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            columns, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{what}: {file} can't be read as CSV ({first_line(error)})",
            "the name of a CSV in the folder of the images",
        ) from None
    if "sha256" not in columns:
        raise UserError(f"{what}: {file} has no column sha256", "a row for each image that the generator has seen")
    seen = {(row["sha256"] or "").strip().lower() for row in rows if row.get("split", TRAIN) == TRAIN}
    if strangers := sorted(seen - set(known)):
        raise UserError(
            f"{what}: {file} lists {len(strangers)} image(s) that are not of the cohort, the first with the SHA-256"
            f" {first_line(repr(strangers[0]))}",
            "the SHA-256s of the cohort's own files, as in the run's cohort.csv",
        )
    return tuple(sorted(seen))


def decode(given: Given, side: int, name: str) -> np.ndarray:
    """The images (N, side, side) uint8, made grey and square as a cohort's are.

    Raises:
        UserError: naming the set `name` and the files, if some can't be used or have changed since they were listed.
    """

    def one(file: str, content: str) -> np.ndarray | str:
        try:
            if sha256(given.root / file) != content:
                return "has changed since this command began"
            return decoding.to_square(decoding.read_grey(given.root / file), side)
        except (decoding.Unusable, OSError) as error:
            return first_line(error)

    found = list(in_threads(lambda pair: one(*pair), zip(given.files, given.sha256, strict=True)))
    images = [image for image in found if not isinstance(image, str)]
    if bad := [f"{file} {why}" for file, why in zip(given.files, found, strict=True) if isinstance(why, str)]:
        raise _unusable(f"sets.{name}.folder: {given.root}", bad)
    return np.stack(images) if images else np.empty((0, side, side), np.uint8)


def _unusable(place: str, bad: list[str]) -> UserError:
    shown = bad[:10] + [f"and {len(bad) - 10} more"] * (len(bad) > 10)
    return UserError(
        f"{place}: {len(bad)} of its files can't be used\n  " + "\n  ".join(shown),
        "images that can be decoded",
        "repair or remove these files, and repeat the command",
    )

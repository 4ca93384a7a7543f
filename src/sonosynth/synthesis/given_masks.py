"""Masks that somebody drew: listed and hashed when a study is planned, decoded when their set is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from sonosynth.cohort.decoding import EXTENSIONS, Unusable
from sonosynth.cohort.masks import read_file, to_square
from sonosynth.cohort.sources import unfit
from sonosynth.disk import sha256
from sonosynth.errors import UserError, first_line
from sonosynth.parallel import in_threads
from sonosynth.section import NO_EFFECT

LAYOUT = "a folder with one folder of masks for each class, named as the cohort's labels; what is not black is lesion"


@dataclass(frozen=True)
class GivenMasks:
    """N masks in class folders, as `given.Given` has images."""

    root: Annotated[Path, NO_EFFECT]
    files: tuple[str, ...]
    sha256: tuple[str, ...]


def find(folder: str, name: str, labels: Sequence[str]) -> GivenMasks:
    """List and hash the masks for the set `name` in the class folders of a folder; none is decoded.

    Args:
        labels: the cohort's.

    Raises:
        UserError: if there is no such folder, it holds no masks, those of another class, or a file that can't be
            opened.
    """
    root = Path(folder).expanduser()
    place = f"sets.{name}.masks: {root}"
    if not root.is_dir():
        raise UserError(f"{place}: {'is not a folder' if root.exists() else 'does not exist'}", LAYOUT)
    files = sorted(file for file in root.glob("*/*") if file.suffix.lower() in EXTENSIONS)
    if bad := [f"{file.relative_to(root)} {reason}" for file in files if (reason := unfit(file, root))]:
        raise UserError(f"{place}: {len(bad)} of its files can't be used, the first: {first_line(bad[0])}", LAYOUT)
    if unknown := sorted({file.parent.name for file in files} - set(labels)):
        raise UserError(
            f"{place}: holds masks of {first_line(', '.join(unknown))}, and the cohort has no such class",
            f"masks of {', '.join(labels)}",
        )
    if not files:
        raise UserError(f"{place}: holds no masks in class folders", LAYOUT)
    hashes = tuple(in_threads(sha256, files))
    return GivenMasks(root, tuple(file.relative_to(root).as_posix() for file in files), hashes)


def decode(given: GivenMasks, side: int, name: str) -> np.ndarray:
    """The masks (N, side, side) bool, resized as a cohort's are.

    Raises:
        UserError: naming the set `name` and the file, if one can't be used or has changed since they were listed.
    """
    found = []
    for file, content in zip(given.files, given.sha256, strict=True):
        try:
            if sha256(given.root / file) != content:
                raise Unusable("has changed since this command began")
            found.append(to_square(read_file(given.root / file), side))
        except (Unusable, OSError) as error:
            raise UserError(
                f"sets.{name}.masks: {given.root / file} {first_line(error)}",
                "masks that can be decoded",
                "repair or remove this file, and repeat the command",
            ) from None
    return np.stack(found)

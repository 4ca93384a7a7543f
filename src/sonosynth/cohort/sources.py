"""Which files make up a cohort, before any of them is read."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from sonosynth import extensions
from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.places import Place
from sonosynth.errors import UserError, first_line, is_plain
from sonosynth.section import NO_EFFECT

TAKEN = {f"{name}{end}" for name in ("metadata.csv", "pixels.npy") for end in ("", ".partial")}
"""Files beside the class folders of a synthetic set."""


@dataclass(frozen=True)
class Source:
    """One image of a cohort, before it is read. `id` is unique in the cohort; paths are absolute.

    given: the side that the cohort's own split puts it on, `artefacts.TRAIN` or `VALIDATION`; "": none. more: the name
    and value of each further column that the cohort has for it.
    """

    id: str
    file: Annotated[Place, NO_EFFECT]
    label: str
    masks: Annotated[tuple[Place, ...], NO_EFFECT] = ()
    group: str = ""
    given: str = ""
    more: tuple[tuple[str, str], ...] = ()


class By(StrEnum):
    """What tells something about images."""

    COLUMN = "column"
    FOLDER = "folder"
    FILE_NAME = "file name"
    HEADER = "header"
    ARRAY = "array"
    ANNOTATION = "annotation"


@dataclass(frozen=True)
class Taken:
    """What tells the images' file, label, mask, group or split.

    name: of the column. guessed: whether nobody said so, and it is not called like what it tells.
    """

    by: By
    name: str = ""
    guessed: bool = False


@dataclass(frozen=True)
class Listing:
    """The images of a cohort, and the folder that their names are relative to.

    problems: files that should be images or masks and can't be used. ignored: what was left out. Both map a
    name to the reason. taken: what tells the file, label, mask, group and split, as far as they are known.
    """

    root: Path
    sources: list[Source]
    problems: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)


def list_sources(path: Path) -> Listing:
    """List the images of a cohort, in an order that does not depend on the file system.

    Raises:
        UserError: if there is no cohort at `path`, or a label or a CSV is wrong.
    """
    # Installed formats are asked first, and last the one that reads any folder: what others read has folders, too.
    names = sorted(reversed(extensions.names("formats")), key=lambda name: name == "folders")
    formats = [extensions.find("formats", name) for name in names]
    reader = next((found for found in formats if found.reads(path)), None)
    if reader is None:
        found = "is neither a folder nor a CSV" if path.exists() else "does not exist"
        raise UserError(
            f"cohort {path}: {found}",
            "a folder with one folder of images per class, or a CSV with the columns file, label",
        )
    listing: Listing = reader.listing(path)
    if not listing.sources:
        raise UserError(
            f"cohort {path}: holds no images in class folders",
            f"class folders with images in them ({', '.join(sorted(EXTENSIONS))})",
            "give the folder that holds the class folders, not one of them",
        )
    ids = Counter(source.id for source in listing.sources)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise UserError(f"cohort {path}: {len(twice)} ids name several images each, the first {twice[0]}")
    labels = sorted({str(source.label) for source in listing.sources})
    for label in labels:
        forbidden = re.search(r'[/\\:*?"<>|]|^[.=+@-]', label)
        if not label.strip() or forbidden or label in TAKEN or not is_plain(label) or len(label.encode()) > 100:
            raise UserError(
                f"cohort {path}: the label {first_line(repr(label))} is not valid as a folder name and in tables",
                "at most 100 bytes of UTF-8 without control characters, none of"
                ' / \\ : * ? " < > | and none of . = + - @ at its start',
                "rename the class",
            )
    spelled = {label: unicodedata.normalize("NFC", label).casefold() for label in labels}
    alike = [name for name, count in Counter(spelled.values()).items() if count > 1]
    if alike:
        found = ", ".join(repr(label) for label in labels if spelled[label] in alike)
        raise UserError(
            f"cohort {path}: the labels {found} differ only in case", "one spelling of each class", "rename one"
        )
    return replace(listing, sources=sorted(listing.sources, key=lambda source: source.id))


def points_outside(file: Path, root: Path) -> bool:
    """Whether a path, links followed, points outside the folder `root`."""
    return not file.resolve().is_relative_to(root.resolve())


def unfit(file: Path, root: Path | None = None) -> str:
    """Why a named file can't be part of a cohort, or ""; with `root`, it must lie in that folder, links followed."""
    try:
        file.name.encode()
        if not is_plain(file.name):
            return "has a name with control characters"
        if root is not None and points_outside(file, root):
            return "is a link that points outside the folder" if file.is_symlink() else "is outside the folder"
        return "" if file.is_file() else "is a broken link" if file.is_symlink() else "is not a file"
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, a cycle of links
        return f"can't be opened ({first_line(error)})"


def escape_formula(name: str, prefix: str = "./") -> str:
    """A name that no spreadsheet takes for a formula."""
    return prefix + name if name.startswith(("=", "+", "-", "@")) else name

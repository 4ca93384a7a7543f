"""Which files make up a cohort, before any of them is read."""

import os
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated

from sonosynth import extensions
from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.kinds import kind_of
from sonosynth.cohort.places import Place
from sonosynth.cohort.settings import AS_IT_IS, Table
from sonosynth.errors import UserError, first_line, is_plain
from sonosynth.section import NO_EFFECT

TAKEN = {f"{name}{end}" for name in ("metadata.csv", "pixels.npy") for end in ("", ".partial")}
"""Files beside the class folders of a synthetic set."""

SIMULATED = "SIMULATED.txt"
"""A file of that name beside the class folders says that no patient was imaged."""
UNLABELLED = "lies beside the class folders, so it has no label"
RESERVED = {"id", "file", "sha256", "label", "mask", "group", "split", "excluded"}
"""The columns of cohort.csv."""


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

    problems: files that should be images or masks and can't be used. ignored: what was left out. Both map a name to the
    reason. taken: what tells the file, label, mask, group and split, as far as they are known. format: its name.
    """

    root: Path
    sources: list[Source]
    problems: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    format: str = ""


def list_sources(path: Path, table: Table = AS_IT_IS) -> Listing:
    """List the images of a cohort, in an order that does not depend on the file system.

    Args:
        table: how its table is read, if it is one.

    Raises:
        UserError: if there is no cohort at `path`, or a label or a table is wrong.
    """
    # Installed formats are asked first, and last the one that reads any folder: what others read has folders, too.
    names = sorted(reversed(extensions.names("formats")), key=lambda name: name == "folders")
    formats = {name: extensions.find("formats", name) for name in names}
    name = next((name for name, found in formats.items() if found.reads(path)), None)
    if name is None:
        found = f"is {kind_of(path) or 'neither a folder nor a table'}" if path.exists() else "does not exist"
        raise UserError(
            f"cohort {path}: {found}",
            "a folder with one folder of images per class, or a table (CSV, TSV, XLSX, parquet) with a line per image",
        )
    reader = formats[name]
    if hasattr(reader, "mapped"):
        listing: Listing = reader.mapped(path, table)
    elif table == AS_IT_IS:
        listing = reader.listing(path)
    else:
        raise UserError(
            f"--columns, --images: cohort {path} has no columns (it is read as {name})", "a table", "leave them out"
        )
    if not listing.sources:
        raise _without_labels(path, listing)
    listing = replace(listing, format=name)
    ids = Counter(source.id for source in listing.sources)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise UserError(f"cohort {path}: {len(twice)} ids stand for more than one image, the first {twice[0]}")
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
    sources = [replace(source, more=_further(source.more)) for source in listing.sources]
    return replace(listing, sources=sorted(sources, key=lambda source: source.id))


def _further(more: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Further columns, those without a name left out, and those renamed whose name cohort.csv uses itself."""
    return tuple((f"table_{name}" if name in RESERVED else name, value) for name, value in more if name)


def _without_labels(path: Path, listing: Listing) -> UserError:
    """What is wrong with a cohort without images that have labels, and what to do."""
    tables = [file for file in sorted(path.glob("*")) if file.suffix.lower() in (".csv", ".tsv", ".xlsx", ".parquet")]
    flat = [name for name, reason in listing.ignored.items() if reason == UNLABELLED]
    if tables:
        there = [folder for folder in sorted(path.iterdir()) if folder.name.lower() in ("images", "image", "imgs")]
        more = f" --images {shlex.quote(str(there[0]))}" if there else ""
        fix = f"it has a table: sonosynth inspect {shlex.quote(str(tables[0]))}{more}"
    elif flat:
        fix = (
            "write a table with a line for each image, such as labels.csv with the columns file,label,group, and give"
            f" it instead: sonosynth inspect labels.csv --images {shlex.quote(str(path))}; or, if this is one of the"
            " class folders, give the folder that holds them"
        )
    else:
        fix = "give the folder that holds the class folders, not one of them"
    why = f"; its {len(flat)} images have no labels" * bool(flat)
    if listing.ignored and not flat:
        reason, count = Counter(listing.ignored.values()).most_common(1)[0]
        why = f"; its files: {count} times one that {reason}"
    return UserError(
        f"cohort {path}: holds no images in class folders{why}",
        f"class folders with images in them ({', '.join(sorted(EXTENSIONS))}, DICOM, NIfTI), or a table that says"
        " what is what",
        fix,
    )


def one_class(path: Path, label: str, ids: Iterable[str], taken: Mapping[str, Taken]) -> UserError:
    """What is wrong with a cohort whose images, named `ids`, all have one label, and what to do."""
    folders = {PurePosixPath(name).parent for name in ids}
    above = PurePosixPath(os.path.commonpath(folders))
    if "label" in taken and taken["label"].by is not By.FOLDER:
        fix = "check which labels they have"
    elif above in folders:
        fix = "give the folder that holds the class folders, not one of them"
    else:
        fix = f"if the folders in {above} are the classes: sonosynth inspect {shlex.quote(str(path / above))}"
    return UserError(f"cohort {path}: all images have one label, {label}", "at least two classes", fix)


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

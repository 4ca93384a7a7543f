"""A cohort read from disk: its files and their hashes, then their pixels, and what a user should know about them."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd

from sonosynth import progress
from sonosynth.cohort import adjacency, marks, traits
from sonosynth.cohort.adjacency import Adjacent
from sonosynth.cohort.decoding import AS_STORED, Unusable, to_square
from sonosynth.cohort.decoding import decode as decode_image
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.places import Part, Place, file_of
from sonosynth.cohort.settings import AS_IT_IS, Reading, Table
from sonosynth.cohort.sources import SIMULATED, Source, Taken, escape_formula, list_sources
from sonosynth.cohort.traits import Trait
from sonosynth.cohort.twins import View, components, details, find, view
from sonosynth.disk import sha256
from sonosynth.errors import UserError, first_line
from sonosynth.parallel import in_threads
from sonosynth.section import NO_EFFECT

SMALLEST = 8  # pixels
FEW_LEVELS = 24  # of 256: masks have two, 12 bits that are stored as if they were 16 have 17
COLUMNS = ["id", "file", "sha256", "label", "mask", "group", "given", "pixels", "width", "height", "mode", "lesion",
           "marks", "colour"]  # fmt: skip
TWIN_COLUMNS = ["id", "twin", "hash_distance", "correlation", "mirrored", "rule"]

Stamp = tuple[tuple[int, int], ...]
"""Size and modification time of files."""


@dataclass(frozen=True)
class Files:
    """The files of a cohort, known before any is decoded. This is what a cohort *is*, wherever its folder is.

    path: the cohort's. root: what the names of its files are relative to. sources: one entry per image, ordered by
    id. sha256: of their bytes. masks: one digest of the bytes of each image's masks, or "". stamps: of each image and
    its masks when they were hashed. problems: files that can't be used. ignored: what was left out; both with the
    reason. format, taken: as in `Listing`.
    """

    path: Annotated[Path, NO_EFFECT]
    root: Annotated[Path, NO_EFFECT]
    sources: tuple[Source, ...]
    sha256: tuple[str, ...]
    masks: tuple[str, ...]
    stamps: Annotated[tuple[Stamp, ...], NO_EFFECT]
    problems: dict[str, str]
    ignored: Annotated[dict[str, str], NO_EFFECT]
    simulated: bool
    format: Annotated[str, NO_EFFECT] = ""
    taken: Annotated[Mapping[str, Taken], NO_EFFECT] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted({source.label for source in self.sources})

    @property
    def columns(self) -> list[str]:
        """The names of the cohort's further columns, sorted."""
        return sorted({name for source in self.sources for name, _ in source.more})


@dataclass(frozen=True)
class Cohort:
    """A cohort with every image decoded once.

    images: one row per usable image, ordered by id, with `COLUMNS`; given is as in `Source`, pixels is a digest of
    the grey pixels, equal for exact copies, mode is Pillow's name of the stored format, lesion the share of the image
    that the mask covers, NaN without one, marks the `marks.KINDS` found, separated by semicolons, colour the share of
    coloured pixels. twins: all pairs of near-duplicates, exact copies among them, with `TWIN_COLUMNS`. squares:
    (N, S, S) uint8, where a side was asked for. problems, ignored, simulated, format, taken: as in `Files`. adjacent:
    how alike images with consecutive file numbers are, class by class, among those without a group that are no
    near-duplicates. traits: marks and colour, class by class. own: the id of each image, in the same order, and the
    further columns that the cohort has, as text. few_levels: the number of grey levels of images that have
    `FEW_LEVELS` or fewer, by id.
    """

    path: Path
    images: pd.DataFrame
    twins: pd.DataFrame
    squares: np.ndarray = field(repr=False)
    problems: dict[str, str]
    ignored: dict[str, str]
    simulated: bool
    adjacent: tuple[Adjacent, ...] = ()
    traits: tuple[Trait, ...] = ()
    own: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["id"]))
    few_levels: Mapping[str, int] = field(default_factory=dict)
    format: str = ""
    taken: Mapping[str, Taken] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The label of each image."""
        return list(self.images["label"])


def list_files(path: Path, table: Table = AS_IT_IS) -> Files:
    """List and hash the files of the cohort at `path`; none is decoded.

    Args:
        table: how its table is read, if it is one.

    Raises:
        UserError: if there is no cohort at `path`, or a label or a table is wrong.
    """
    listing = list_sources(path, table)
    problems = dict(listing.problems)
    files = sorted({file_of(place) for source in listing.sources for place in (source.file, *source.masks)})
    known = dict(zip(files, in_threads(_hash, files), strict=True))
    kept: list[tuple[Source, str, str, Stamp]] = []
    for source in listing.sources:
        bad = next((found for x in (source.file, *source.masks) if isinstance(found := known[file_of(x)], str)), None)
        if bad is not None:
            problems[_relative(source.file, listing.root)] = bad
        else:
            kept.append((source, *_about(source, known)))
    sources, hashes, masks, stamps = zip(*kept, strict=True) if kept else ((), (), (), ())
    simulated = (listing.root / SIMULATED).is_file()
    return Files(
        path, listing.root, sources, hashes, masks, stamps, problems, listing.ignored, simulated, listing.format,
        listing.taken,
    )  # fmt: skip


def contents(files: Mapping[str, Any]) -> Counter[tuple[str, ...]]:
    """What makes a cohort the one it is: the hash, label, group and masks of each image.

    Args:
        files: a `Files`, as `jobs.keyed` gives it.
    """
    about = ((source["label"], source["group"]) for source in files["sources"])
    return Counter((*pair, *hashes) for pair, *hashes in zip(about, files["sha256"], files["masks"], strict=True))


def _hash(file: Path) -> tuple[str, tuple[int, int]] | str:
    """Hash of a file, and its stamp from before; or why it can't be read."""
    try:
        stamp = _stamp(file)
        return sha256(file), stamp
    except OSError as error:
        return f"can't be opened ({first_line(error)})"


def _stamp(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns


def _about(source: Source, known: Mapping[Path, Any]) -> tuple[str, str, Stamp]:
    """Hash of an image, digest of its masks, and their stamp. A part's hash is that of its file and its name."""

    def hashed(place: Place) -> str:
        content: str = known[file_of(place)][0]
        part = place.name if isinstance(place, Part) else ""
        return hashlib.sha256(f"{content}\0{part}".encode()).hexdigest() if part else content

    masks = "".join(f"{file_of(mask).name}\0{hashed(mask)}\n" for mask in source.masks)
    stamp = tuple(known[file_of(place)][1] for place in (source.file, *source.masks))
    return hashed(source.file), hashlib.sha256(masks.encode()).hexdigest() if masks else "", stamp


def read(path: str | Path, side: int = 0, how: Reading = AS_STORED) -> Cohort:
    """Decode every file of the cohort at `path` once; keep the images as squares of `side` pixels, if not 0.

    Raises:
        UserError: if there is no cohort at `path`, or none of its files can be used.
    """
    return decode(list_files(Path(path)), side, how=how)


def decode(files: Files, side: int = 0, *, fill: bool = False, how: Reading = AS_STORED) -> Cohort:
    """The cohort of `files`, each decoded once; as `read`. With `fill`, marks are filled in before all else."""
    rows: list[list[Any]] = []
    own: list[dict[str, str]] = []
    views: list[View] = []
    few_levels: dict[str, int] = {}
    squares = np.empty((len(files.sources) if side else 0, side, side), np.uint8)
    problems = dict(files.problems)
    with progress.task("reading the cohort", len(files.sources)) as bar:
        wanted = [(source, stamp, side, fill, how) for source, stamp in zip(files.sources, files.stamps, strict=True)]
        for source, content, found in zip(files.sources, files.sha256, in_threads(_decode, wanted), strict=True):
            bar.advance()
            file = _relative(source.file, files.root)
            if isinstance(found, str):
                problems[file] = found
                continue
            masks = ";".join(_relative(mask, files.root) for mask in source.masks)
            if found.square is not None:
                squares[len(rows)] = found.square
            rows.append([source.id, file, content, source.label, masks, source.group, source.given, *found.about])
            own.append({"id": source.id} | dict(source.more))
            views.append(found.view)
            if found.levels <= FEW_LEVELS:
                few_levels[source.id] = found.levels
    if not rows:
        reasons = "\n  ".join(f"{name} {reason}" for name, reason in list(problems.items())[:10])
        raise UserError(f"cohort {files.path}: none of its files can be used\n  {reasons}")
    images = pd.DataFrame(rows, columns=COLUMNS)
    distinct = details(views)
    pairs = [
        (images["id"][t.first], images["id"][t.second], t.distance, round(t.correlation, 4), t.mirrored, t.rule)
        for t in find(views, distinct)
    ]
    twins = pd.DataFrame(pairs, columns=TWIN_COLUMNS)
    numbers = group_numbers(images["id"], twins)
    adjacent = _adjacent(images, numbers, distinct)
    alone = pd.Series(numbers, dtype=object)  # a number, never the name of a group
    together = images["group"].where(images["group"] != "", alone)
    found_traits = traits.compare(
        list(images["marks"]), images["colour"].to_numpy(), list(images["label"]), list(together)
    )
    return Cohort(
        files.path, images, twins, squares[: len(rows)], problems, files.ignored, files.simulated, adjacent,
        tuple(found_traits), pd.DataFrame(own).fillna(""), few_levels, files.format, files.taken,
    )  # fmt: skip


def _adjacent(images: pd.DataFrame, numbers: np.ndarray, distinct: np.ndarray) -> tuple[Adjacent, ...]:
    """Images with consecutive file numbers, of those whose patient is not known; numbers: see `group_numbers`."""
    unnamed = (images["group"] == "").to_numpy()
    rows = images[unnamed]
    return tuple(adjacency.compare(distinct[unnamed], list(rows["file"]), list(rows["label"]), numbers[unnamed]))


@dataclass(frozen=True)
class _Decoded:
    """about: the values of `COLUMNS` from pixels on. square: (S, S) uint8, or None. levels: how many grey levels of 256
    are there.
    """

    about: tuple[Any, ...]
    view: View
    square: np.ndarray | None
    levels: int


def check_unchanged(source: Source, stamp: Stamp) -> None:
    """Raise UserError unless the files of an image are as they were when they were hashed."""
    places = [file_of(place) for place in (source.file, *source.masks)]
    if not all(map(Path.is_file, places)) or tuple(map(_stamp, places)) != stamp:
        raise UserError(f"{places[0]}: changed while the cohort was being read", fix="run the command again")


def _decode(wanted: tuple[Source, Stamp, int, bool, Reading]) -> _Decoded | str:
    """What is kept of an image, or why it can't be used."""
    source, stamp, side, fill, how = wanted
    check_unchanged(source, stamp)
    try:
        grey, mode, colour = decode_image(source.file, how)
        if min(grey.shape) < SMALLEST:
            raise Unusable(f"is {grey.shape[1]} x {grey.shape[0]} pixels; at least {SMALLEST} per side are expected")
        marked = marks.find(grey)
        grey = marks.fill(grey, marked) if fill else grey
        pixels = hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest()
        lesion = float(read_mask(source.masks, grey.shape, how).mean()) if source.masks else float("nan")
        about = (pixels, grey.shape[1], grey.shape[0], mode, lesion, ";".join(marked), round(colour, 4))
        levels = int(np.count_nonzero(np.bincount(grey.ravel(), minlength=256)))
        return _Decoded(about, view(grey), to_square(grey, side) if side else None, levels)
    except (Unusable, OSError) as error:
        return str(error)


def groups_of(ids: Iterable[str], pairs: pd.DataFrame) -> list[list[int]]:
    """The positions of images in groups: a chain of pairs (columns id and twin) connects the images of each group."""
    place = {name: row for row, name in enumerate(ids)}
    ends = zip(pairs["id"], pairs["twin"], strict=True)
    return components(len(place), ((place[a], place[b]) for a, b in ends))


def group_numbers(ids: Iterable[str], pairs: pd.DataFrame) -> np.ndarray:
    """The number (N,) of each image's group, in the order of `groups_of`."""
    groups = groups_of(ids, pairs)
    numbers = np.empty(sum(map(len, groups)), int)
    for number, members in enumerate(groups):
        numbers[members] = number
    return numbers


def conflicts(cohort: Cohort) -> list[list[str]]:
    """The ids of near-duplicates that don't all have one label, group by group."""
    ids, labels = list(cohort.images["id"]), cohort.labels
    groups = groups_of(ids, cohort.twins)
    return [[ids[row] for row in rows] for rows in groups if len({labels[row] for row in rows}) > 1]


def _relative(place: Place, root: Path) -> str:
    """The name of a picture in tables: relative to the cohort if it lies there, and with the part of the file."""
    file, part = file_of(place), f"#{place.name}" if isinstance(place, Part) and place.name else ""
    return escape_formula((file.relative_to(root) if file.is_relative_to(root) else file).as_posix() + part)

"""A table with one line for each image: CSV, TSV, XLSX, or parquet that holds the paths of files.

Columns for the file and the label, and where there are any for the mask, the group and the split. Files are read
wherever their paths lead; relative ones start in `cohort.images`, or where the table is.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sonosynth.cohort.formats import _cells, _roles, dicom, parquet
from sonosynth.cohort.formats._cells import Cells
from sonosynth.cohort.formats._given import SIDES, with_both_sides
from sonosynth.cohort.formats._lookup import Lookup, masks_of
from sonosynth.cohort.formats._per_file import place_of
from sonosynth.cohort.formats._values import MASK
from sonosynth.cohort.places import Part, Place
from sonosynth.cohort.settings import Table
from sonosynth.cohort.sources import By, Listing, Source, Taken, escape_formula
from sonosynth.errors import UserError, first_line, is_plain

ENOUGH = 1000  # mistakes, after which the rest is not looked at
TRIED = 20  # cells by which it is seen whether a column names files


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.suffix.lower() in _cells.READERS and path.is_file() and not parquet.reads(path)


def mapped(path: Path, table: Table) -> Listing:
    """The images that the table at `path` lists.

    Raises:
        UserError: if it can't be read, its columns can't be told, or lines are wrong.
    """
    root = Path(table.images).expanduser().resolve() if table.images else path.parent
    if not root.is_dir():
        raise UserError(f"--images {root}: is not a folder", "the folder that the paths in the table start from")
    cells, lookup = _cells.read(path), Lookup(root)
    columns = _roles.chosen(cells.columns, table.named, path, lambda role, name: _fits(cells, lookup, role, name))
    found = Listing(root, [], taken=_roles.taken(columns, table.named))
    _add(found, path, cells, columns, lookup)
    told = {**columns, **table.named}
    if "mask" not in told:
        _add_masks(found)
    if "group" not in told:
        found = dicom.with_people(found)
    found.sources.sort(key=lambda source: source.id)
    return with_both_sides(found)


def _fits(cells: Cells, lookup: Lookup, role: str, column: str) -> bool:
    """Whether a column can be what a role is, by its content."""
    place = cells.columns.index(column)
    values = [value for _, row in cells.rows if (value := row[place] if place < len(row) else "")]
    if role == "file":
        return bool(values) and all(isinstance(lookup.find(value), Path) for value in values[:TRIED])
    return bool(values) and all(value.lower() in SIDES for value in values) if role == "split" else True


def _add(found: Listing, path: Path, cells: Cells, columns: Mapping[str, str], lookup: Lookup) -> None:
    seen: set[Path] = set()
    mistakes: list[str] = []
    for line, row in cells.rows:
        if len(mistakes) >= ENOUGH:
            break
        if len(row) > len(cells.columns):
            mistakes.append(f"line {line}: has more cells than the header")
            continue
        values = dict(zip(cells.columns, row + [""] * (len(cells.columns) - len(row)), strict=True))
        own = {role: values.pop(column) for role, column in columns.items()}
        mistake = _add_row(found, own, values, lookup, seen)
        if mistake:
            mistakes.append(f"line {line}: {mistake}")
    if mistakes:
        shown = mistakes[:10] + [f"and {len(mistakes) - 10} more"] * (len(mistakes) > 10)
        raise UserError(
            f"{path}:\n  " + "\n  ".join(shown),
            f"files that exist, each once, with a label; paths that are not absolute start in {found.root}",
            "correct these lines; if the files lie elsewhere, say where: --images DIR",
        )


def _add_row(
    found: Listing, own: Mapping[str, str], more: Mapping[str, str], lookup: Lookup, seen: set[Path]
) -> str:  # fmt: skip
    """Add the image of a row; or what is wrong with the row.

    Args:
        own: the cell of each role. more: those of further columns. seen: the files of earlier rows.
    """
    name = own["file"]
    if empty := [role for role in _roles.NEEDED if not own[role]]:
        return f"the {' and the '.join(empty)} is empty"
    file = lookup.find(name)
    masks = {mask: lookup.find(mask, mask=True) for x in own.get("mask", "").split(";") if (mask := x.strip())}
    if bad := [f"{n} {reason}" for n, reason in [(name, file), *masks.items()] if isinstance(reason, str)]:
        return "; ".join(bad)
    assert isinstance(file, Path)
    if file in seen:
        return f"{first_line(name)} is listed twice"
    seen.add(file)
    group = escape_formula(own.get("group", ""), "'")
    if not is_plain(group):
        return f"the group {group!r} has control characters"
    side = own.get("split", "")
    if side and side.lower() not in SIDES:
        return f"the split {first_line(side)} is none of {', '.join(SIDES)}"
    inside = Path(name).is_absolute() and file.is_relative_to(found.root)
    shown = escape_formula(file.relative_to(found.root).as_posix() if inside else name)
    places = tuple(_mask(mask) for mask in masks.values() if isinstance(mask, Path))
    given, further = SIDES.get(side.lower(), ""), tuple(more.items())
    found.sources.append(Source(shown, place_of(file) or file, own["label"], places, group, given, further))
    return ""


def _mask(file: Path) -> Place:
    place = place_of(file) or file
    return replace(place, name=MASK) if isinstance(place, Part) else place


def _add_masks(found: Listing) -> None:
    """Add masks that lie in folders for masks, where no column names them."""
    files = [source.file for source in found.sources if isinstance(source.file, Path)]
    of = masks_of(files, found.root)
    if of:
        found.taken["mask"] = Taken(By.FOLDER)
        found.sources[:] = [
            replace(source, masks=tuple(map(_mask, of[source.file]))) if source.file in of else source
            for source in found.sources
        ]

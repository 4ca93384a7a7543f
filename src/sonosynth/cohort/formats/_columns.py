"""Tables with image bytes in a column, as Hugging Face's datasets stores them, by pyarrow alone."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonosynth.cohort.decoding import Picture, Unusable, decode_bytes
from sonosynth.cohort.formats import _roles
from sonosynth.cohort.places import Part, Place
from sonosynth.cohort.sources import By, Listing, Source, Taken, escape_formula, unfit
from sonosynth.errors import UserError, first_line, is_plain

IMAGE, LABEL, MASK = ("image", "img", "picture"), ("label", "labels", "class", "target"), ("mask", "segmentation")
GROUP = ("group", "patient", "patient_id", "subject", "subject_id")
"""Names that columns of each kind may have, in any case; the first one found is taken."""

Schema = Any
Table = Any
"""Those of pyarrow, which is an extra."""


@dataclass(frozen=True)
class Columns:
    """The names of the columns; mask and group are "" if there are none.

    more: further columns of text and numbers. classes: the names of labels that are numbers, if known.
    """

    image: str
    label: str
    mask: str
    group: str
    more: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def of_roles(self) -> dict[str, str]:
        """The column of each role that has one."""
        found = {"file": self.image, "label": self.label, "mask": self.mask, "group": self.group}
        return {role: name for role, name in found.items() if name}


def image_columns(schema: Schema) -> list[str]:
    """The columns of a pyarrow schema that hold the bytes of files: struct<bytes, path>, or binary."""
    import pyarrow as pa

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(child.name == "bytes" and holds(child.type) for child in kind)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    return [field.name for field in schema if holds(field.type)]


def features_of(schema: Schema) -> Mapping[str, Any]:
    """What Hugging Face's datasets wrote into a schema about its columns; empty if it didn't write it."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def columns_of(schema: Schema, features: Mapping[str, Any], where: Path, given: Mapping[str, str]) -> Columns:
    """Which column is what, where the user names some, by role.

    Raises:
        UserError: if the image or the label can't be told.
    """
    import pyarrow as pa

    _roles.check(schema.names, given, where)
    images = image_columns(schema)
    known = {
        name: about["names"] for name, about in features.items()
        if name in schema.names and isinstance(about, dict) and about.get("_type") == "ClassLabel"
        and isinstance(about.get("names"), list)
    }  # fmt: skip
    mask = given["mask"] if "mask" in given else _named(images, MASK)
    others = [name for name in images if name != mask]
    image = given.get("file") or _named(others, IMAGE) or (others[0] if len(others) == 1 else "")
    label = given.get("label") or _named(schema.names, LABEL) or (next(iter(known)) if len(known) == 1 else "")
    if not image or not label:
        missing = "image" if not image else "label"
        raise UserError(
            f"{where}: none of the columns is recognised as the {missing}: {first_line(', '.join(schema.names))}",
            f"images in a column {IMAGE[0]}, labels in a column {LABEL[0]}",
            f"say which: --columns {'file' if not image else 'label'}=COLUMN",
        )
    group = given["group"] if "group" in given else _named(schema.names, GROUP)
    simple = [
        field.name for field in schema
        if not pa.types.is_nested(field.type) and field.name not in {*images, label, group}
        and not pa.types.is_binary(field.type) and not pa.types.is_large_binary(field.type)
    ]  # fmt: skip
    return Columns(image, label, mask, group, tuple(simple), tuple(map(str, known.get(label, ()))))


def add(
    found: Listing, file: Path, format: str, table: Table, columns: Columns, side: str, given: Mapping[str, str]
) -> None:  # fmt: skip
    """Add the rows of a file to the listing, as parts named column/row; a picture may also be a file of its own.

    Args:
        table: with all of the columns, but the bytes may be missing: then all pictures are taken to be in the file.
        side: of its images in the cohort's own split. given: the columns that the user names, by role.
    """
    stem = file.relative_to(found.root).with_suffix("").as_posix()
    width = len(str(table.num_rows))
    found.taken.update(_roles.taken(columns.of_roles, given))
    found.taken["file"] = Taken(By.COLUMN, columns.image)  # only a column of images can be it
    if side:
        found.taken["split"] = Taken(By.FILE_NAME)
    labels, groups = _texts(table, columns.label, columns.classes), _texts(table, columns.group)
    more = {name: _texts(table, name) for name in columns.more}
    masks = _present(table, columns.mask)
    paths = _paths(table, columns.image)
    for row, label in enumerate(labels):
        name = escape_formula(f"{stem}/{row:0{width}}")
        place: Place = Part(file, format, f"{columns.image}/{row}")
        if paths[row]:
            place = Path(os.path.normpath(file.parent / paths[row]))
            if reason := unfit(place, place.parent):
                found.problems[name] = f"holds no image but a path, which {reason}"
                continue
        if not label:
            found.problems[name] = "has no label"
            continue
        mask = (Part(file, format, f"{columns.mask}/{row}"),) if masks[row] else ()
        own = tuple((column, values[row]) for column, values in more.items())
        group = escape_formula(groups[row], "'")
        if not all(is_plain(text) for text in (group, *(value for _, value in own))):
            found.problems[name] = "has control characters in its row"
            continue
        found.sources.append(Source(name, place, label, mask, group, side, own))


def decoded(value: Any) -> Picture:
    """The picture that stands in a cell of an image column.

    Raises:
        Unusable: if it is no image.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise Unusable("holds no image")
    return decode_bytes(content)


def _named(names: list[str], wanted: tuple[str, ...]) -> str:
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in wanted if name in lower), "")


def _texts(table: Table, column: str, classes: tuple[str, ...] = ()) -> list[str]:
    """The cells of a column as text; "" for none, and for a number that is no class."""
    if not column:
        return [""] * table.num_rows
    values = table.column(column).to_pylist()
    if classes and all(value is None or isinstance(value, int) for value in values):
        return [classes[v] if v is not None and 0 <= v < len(classes) else "" for v in values]
    return ["" if value is None else str(value).strip() for value in values]


def _present(table: Table, column: str) -> list[bool]:
    """Whether there is something in each cell of an image column."""
    if not column:
        return [False] * table.num_rows
    found: list[bool] = table.column(column).is_valid().to_pylist()
    return found


def _paths(table: Table, column: str) -> list[str]:
    """The path of each picture that stands there without bytes, else ""."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in table.column_names:
        return [""] * table.num_rows
    chunks = table.column(column)
    names = {field.name for field in chunks.type} if pa.types.is_struct(chunks.type) else set()
    if not {"bytes", "path"} <= names:
        return [""] * table.num_rows
    without = pc.struct_field(chunks, "bytes").is_null().to_pylist()
    paths = pc.struct_field(chunks, "path").to_pylist()
    return [(path or "") if absent else "" for absent, path in zip(without, paths, strict=True)]

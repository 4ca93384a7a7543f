"""Which column of a table is what: as the user says, else by names whose meaning is clear."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sonosynth.cohort.settings import ROLES
from sonosynth.cohort.sources import By, Taken
from sonosynth.errors import UserError, first_line

NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "file": (
        ("file",),
        ("file_name", "filename", "file_path", "filepath", "path", "image", "image_path", "imagepath", "image_file",
         "image_filename", "image_name", "img", "img_path", "img_name", "picture"),
        ("image_id", "imageid", "image_index", "img_id", "isic_id", "id"),
    ),
    "label": (
        ("label",),
        ("labels", "class", "class_name", "classname", "diagnosis", "dx", "category", "target", "pathology",
         "classification"),
    ),
    "mask": (
        ("mask",),
        ("mask_path", "mask_file", "mask_filename", "mask_name", "segmentation_path", "segmentation_file"),
    ),
    "group": (
        ("group",),
        ("group_id", "patient", "patient_id", "patientid", "patient_no", "patient_number", "subject", "subject_id",
         "subjectid"),
        ("case", "case_id", "caseid", "case_no", "case_number", "lesion", "lesion_id"),
    ),
    "split": (("split",), ("set", "subset", "partition")),
}  # fmt: skip
"""What a column of each kind may be called. Names of an earlier tier hide those of a later one."""
NEEDED = ("file", "label")


def chosen(
    columns: Sequence[str], given: Mapping[str, str], where: Path, fits: Callable[[str, str], bool] = lambda *_: True
) -> dict[str, str]:  # fmt: skip
    """The column of each role, as far as there is one.

    Args:
        columns: the names of all. given: those that the user names; "" for none. where: the table, for messages.
        fits: whether the content of a column (second argument) can be what a role (first) is; asked where a name
            doesn't tell.

    Raises:
        UserError: if a given column is missing, two columns fit, or none is the file or the label.
    """
    check(columns, given, where)
    found = {role: name for role, name in given.items() if name}
    for role in ROLES:
        free = [name for name in columns if name and name not in found.values()]
        if role not in given and (name := _guessed(role, free, where, fits)):
            found[role] = name
    if missing := [role for role in NEEDED if role not in found]:
        shown = first_line(", ".join(columns) or "(none)")
        raise UserError(
            f"{where}: has the columns {shown}; none is recognised as the {' or the '.join(missing)}",
            "a first line with the names of the columns: one has the file of each image, and one its label",
            f"say which: --columns {','.join(f'{role}=COLUMN' for role in missing)}",
        )
    return found


def check(columns: Sequence[str], given: Mapping[str, str], where: Path) -> None:
    """Raise UserError if a column that the user names is not there."""
    if unknown := [name for name in given.values() if name and name not in columns]:
        raise UserError(
            f"{where}: has no column {first_line(', '.join(unknown))}",
            f"columns that it has: {first_line(', '.join(columns) or '(none)')}",
            "correct --columns or cohort.columns",
        )


def taken(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Taken]:
    """What tells what, where `found` are the columns."""
    return {role: Taken(By.COLUMN, name, role not in given and _plain(name) != role) for role, name in found.items()}


def _guessed(role: str, columns: Sequence[str], where: Path, fits: Callable[[str, str], bool]) -> str:
    """The column whose name says that it is this; "" if none does."""
    for tier in NAMES[role]:
        names = [name for name in columns if _plain(name) in tier]
        if len(names) > 1 or role == "split" or tier is NAMES["file"][-1]:
            fitting = [name for name in names if fits(role, name)]
            names = fitting if role == "split" else fitting or names
        if len(names) > 1:
            raise UserError(
                f"{where}: {first_line(' and '.join(names))} could both be the {role}",
                f"one column for the {role}",
                f"say which: --columns {role}={names[0]}",
            )
        if names:
            return names[0]
    return ""


def _plain(name: str) -> str:
    """A name without case, and with one kind of space."""
    return re.sub(r"[\s.\-]+", "_", name.lower()).strip("_")

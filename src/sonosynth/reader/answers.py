"""What readers answered: files from the page, checked against the key of their kit, and kept whole in the run."""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd

from sonosynth import disk
from sonosynth.errors import UserError, first_line
from sonosynth.reader.choosing import REAL, SYNTHETIC
from sonosynth.reader.scoring import Reading, score

FOLDER, KEY_FILE, ANSWERS = "reader", "key.csv", "answers"
KEY = ["image", "origin", "set", "label", "id", "sha256", "seen"]
"""The columns of key.csv. image: its number in the kit. id: of a real image, or the file name of a synthetic one. seen:
as in `scoring`; empty for a synthetic image."""
COLUMNS = ["kit", "reader", "image", "origin", "class", "quality"]
"""The columns of a file of answers."""
QUALITIES = ("1", "2", "3", "4", "5")
READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
MAX_BYTES = 2**23  # of a table
FIX = "give the CSV file that the page saved, unchanged"


def kit_id(folder: Path) -> str:
    """What ties a page and its answers to a key: a digest of the key, which does not give it away."""
    return disk.sha256(folder / KEY_FILE)[:16]


def readings(root: Path) -> tuple[Reading, ...]:
    """What the readers of all kits of a run answered, kit by kit, those without answers left out.

    Raises:
        UserError: if one of the files that the run keeps can't be read or doesn't fit its key.
    """
    if not root.is_dir():
        return ()
    disk.check_regular(root, root / FOLDER)
    found = []
    for folder in _kits(root):
        files = sorted((folder / ANSWERS).glob("*.csv"))
        if files:
            key = _key(folder)
            rows = [_checked(file, kit_id(folder), key) for file in files]
            found.append(score(folder.name, key, dict(zip((file.stem for file in files), rows, strict=True))))
    return tuple(found)


def take(root: Path, files: Sequence[Path]) -> None:
    """Copy files of answers into the run, all of them or none.

    A reader's longer file replaces a shorter one that it begins with.

    Raises:
        UserError: if one can't be read, belongs to no kit of the run, doesn't fit its key, or contradicts what the
            same reader answered before.
    """
    disk.check_regular(root, root / FOLDER)
    kits = {kit_id(folder): folder for folder in _kits(root)}
    new: dict[Path, bytes] = {}
    for file in files:
        every = _rows(file)
        kit, reader = every["kit"].iloc[0], every["reader"].iloc[0]
        if kit not in kits:
            raise UserError(
                f"{file}: answers to the kit {first_line(kit)}, of which {root} has no key",
                f"answers to a kit of this run; it has {', '.join(map(str, kits)) or 'none'}",
                "give the run that the kit was made from; a key that was altered is no longer the kit's",
            )
        rows = _checked(file, kit, _key(kits[kit]))
        place = kits[kit] / ANSWERS / f"{reader}.csv"
        known = next((x for x in [*new, *place.parent.glob("*.csv")] if str(x).lower() == str(place).lower()), None)
        if known:
            before = _rows(BytesIO(new[known]) if known in new else known, file)
            same = before["reader"].iloc[0] == reader and list(before.columns) == list(every.columns)
            if len(before) > len(rows) or not same or not before.equals(every.iloc[: len(before)]):
                raise UserError(
                    f"{file}: {reader} has answered this kit before, differently ({known})",
                    "one file of each reader, or a longer one that begins with the same answers",
                    "give readers names of their own; to replace the earlier answers, move them elsewhere",
                )
        new[place] = file.read_bytes()
    for place, data in new.items():
        disk.write_bytes(place, data)


def _kits(root: Path) -> list[Path]:
    return sorted(file.parent for file in (root / FOLDER).glob(f"*/{KEY_FILE}"))


def _key(folder: Path) -> pd.DataFrame:
    """key.csv, every column text; raises UserError if it can't be read."""
    key = _table(folder / KEY_FILE)
    if key is None or list(key.columns) != KEY or not {*key["origin"]} <= {REAL, SYNTHETIC}:
        raise UserError(f"{folder / KEY_FILE}: can't be read", "the key of a kit as it was written", "restore it")
    return key


def _table(file: Path | BytesIO) -> pd.DataFrame | None:
    try:
        if isinstance(file, Path) and (not file.is_file() or file.stat().st_size > MAX_BYTES):
            return None
        return pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError):
        return None


def _rows(file: Path | BytesIO, name: Path | None = None) -> pd.DataFrame:
    """A file of answers of one reader to one kit, every column text."""
    rows = _table(file)
    if rows is None or list(rows.columns) != COLUMNS or rows.empty:
        raise UserError(f"{name or file}: holds no answers of a reader", f"a CSV with {', '.join(COLUMNS)}", FIX)
    for column in ("kit", "reader"):
        if rows[column].nunique() > 1:
            raise UserError(f"{name or file}: holds answers of several {column}s", "one reader and one kit", FIX)
    if not READER.fullmatch(rows["reader"].iloc[0]):
        raise UserError(
            f"{name or file}: the reader is called {first_line(rows['reader'].iloc[0])}",
            "letters, digits, _ or -, at most 40",
            FIX,
        )
    return rows


def _checked(file: Path, kit: str, key: pd.DataFrame) -> pd.DataFrame:
    """The rows of a file of answers to a kit: the first images of the key, in its order."""
    rows = _rows(file)
    allowed = {"kit": [kit], "origin": [REAL, SYNTHETIC], "class": sorted({*key["label"]}), "quality": [*QUALITIES]}
    for column, values in allowed.items():
        if wrong := sorted({*rows[column]} - {*values}):
            raise UserError(f"{file}: {column} is {first_line(wrong[0])}", f"one of {', '.join(values)}", FIX)
    if list(rows["image"]) != list(key["image"][: len(rows)]):
        raise UserError(
            f"{file}: the images are not numbered 1, 2, … {len(rows)}, or are more than {len(key)}",
            "an answer to each image, from the first on",
            FIX,
        )
    return rows

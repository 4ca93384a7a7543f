"""The cells of a table as text: CSV in any common dialect and encoding, XLSX (openpyxl), parquet (pyarrow)."""

import csv
import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonosynth.errors import UserError, first_line

INSTALL = "pip install 'sonosynth[tables]'"
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")
SEPARATORS = ",;\t|"
EXCEL = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
"""A first line by which Excel knows the separator."""
EXPECTED = "a first line with the names of the columns (in XLSX: of the first sheet), then a line for each image"
LARGEST = 500_000_000  # bytes, also once unpacked
MOST = 1_000_000  # rows


@dataclass(frozen=True)
class Cells:
    """columns: their names. rows: the number of each row's line, and its cells."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def read(path: Path) -> Cells:
    """The table at `path`, whose first line names the columns; empty lines are left out.

    Raises:
        UserError: if it can't be read, is too large, names a column twice, or has no names or no rows.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes", f"at most {LARGEST:,}")
        lines = [(n, cells) for n, cells in READERS[path.suffix.lower()](path) if any(cells)]
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: can't be read as {path.suffix[1:].upper()} ({first_line(error)})") from None
    if len(lines) > MOST:
        raise UserError(f"{path}: has {len(lines):,} rows", f"at most {MOST:,}")
    columns = lines[0][1] if lines else []
    if sum(map(bool, columns)) < 2:
        found = (
            f"its first line has only one cell, {first_line(next(filter(None, columns)))}" if columns else "is empty"
        )
        fix = "remove what stands above the names of the columns; the sheet with the images has to be the first"
        raise UserError(f"{path}: {found}", EXPECTED, fix)
    if len(lines) == 1:
        raise UserError(f"{path}: has no line below the names of its columns", EXPECTED)
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1 and name):
        raise UserError(f"{path}: has more than one column {first_line(', '.join(twice))}", "each column once")
    return Cells(columns, lines[1:])


def _csv(path: Path) -> Iterable[tuple[int, list[str]]]:
    text = _decoded(path.read_bytes())
    told = EXCEL.match(text)
    text = text[told.end() :] if told else text
    header = re.sub(r'"[^"]*"', "", next(iter(text.splitlines()), ""))
    separator = told[1] if told else max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for row in reader:
        yield reader.line_num + bool(told), [cell.strip() for cell in row]


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        return content.decode("utf-16")
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def _xlsx(path: Path) -> Iterable[tuple[int, list[str]]]:
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path}: is XLSX, and openpyxl is not installed", fix=INSTALL) from None
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"unpacks to {size:,} bytes, more than {LARGEST:,}")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            cells = [_text(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            yield number, cells
    except Exception as error:  # of any kind, if the XML is damaged
        raise ValueError(first_line(error)) from None
    finally:
        book.close()


def _parquet(path: Path) -> Iterable[tuple[int, list[str]]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"{path}: is parquet, and pyarrow is not installed", fix=INSTALL) from None
    try:
        table = pq.read_table(path, use_threads=False)
    except pa.ArrowException as error:
        raise ValueError(first_line(error)) from None
    yield 1, list(table.column_names)
    columns = [column.to_pylist() for column in table.columns]
    for number, row in enumerate(zip(*columns, strict=True), 2):
        yield number, [_text(value) for value in row]


def _text(value: Any) -> str:
    """A cell as text; a number that is whole has no decimals, however it is stored."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


READERS: dict[str, Callable[[Path], Iterable[tuple[int, list[str]]]]] = {
    ".csv": _csv, ".tsv": _csv, ".xlsx": _xlsx, ".parquet": _parquet
}  # fmt: skip

"""Parquet with image bytes, as on the Hugging Face hub: one file, or a folder with files such as train-00000-of-00002.

The split is told from the name of a file or of its folder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sonosynth.cohort.decoding import Picture, Unusable
from sonosynth.cohort.formats import _columns
from sonosynth.cohort.formats._cells import INSTALL
from sonosynth.cohort.formats._given import side_of, with_both_sides
from sonosynth.cohort.formats._kept import kept
from sonosynth.cohort.settings import Table
from sonosynth.cohort.sources import Listing, unfit
from sonosynth.errors import UserError, first_line

SUFFIX = ".parquet"
LARGEST = 4_000_000_000  # bytes of one row group, which is held in memory
MOST = 10_000_000  # rows
EXPECTED = "parquet files with a column of image bytes"


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`: without pyarrow a folder of parquet files is, to be named."""
    return any(holds_images(file) for file in _files(path))


def holds_images(file: Path) -> bool:
    """Whether a parquet file has a column with the bytes of files; one without any is a table of names.

    Without pyarrow nobody knows, and it is taken to have one.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return True
    try:
        return bool(_columns.image_columns(pq.read_schema(file)))
    except (pa.ArrowException, OSError, ValueError):
        return False


def mapped(path: Path, how: Table) -> Listing:
    """The images in the rows of the file, or of the files in the folder, at `path`; of `how`, the columns are used.

    Raises:
        UserError: if pyarrow is not installed, or the columns can't be told.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"cohort {path}: is parquet, and pyarrow is not installed", fix=INSTALL) from None
    root = path.parent if path.is_file() else path
    found = Listing(root, [])
    for file in _files(path):
        name = file.relative_to(root).as_posix()
        if reason := unfit(file, root):
            found.problems[name] = reason
            continue
        if not holds_images(file):
            found.ignored[name] = "has no column of image bytes, or is no parquet"
            continue
        try:
            with pq.ParquetFile(file) as opened:
                if opened.metadata.num_rows > MOST:
                    raise UserError(f"cohort {file}: has {opened.metadata.num_rows:,} rows", f"at most {MOST:,}")
                schema = opened.schema_arrow
                columns = _columns.columns_of(schema, _columns.features_of(schema), file, how.named)
                table = _without_bytes(opened, columns)
            given = side_of(file.stem) or (side_of(file.parent.name) if file.parent != root else "")
            _columns.add(found, file, "parquet", table, columns, given, how.named)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"cohort {file}: can't be read as parquet ({first_line(error)})", EXPECTED) from None
    return with_both_sides(found)


def decode(file: Path, name: str) -> Picture:
    """The picture at `name` (image/0: column and row).

    Raises:
        Unusable: if there is no image, or the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    column, _, number = name.rpartition("/")
    row = int(number)
    try:
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                rows = opened.metadata.row_group(group).num_rows
                if row < rows:
                    return _columns.decoded(_cells(file, group, column)[row].as_py())
                row -= rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unusable(f"can't be read from parquet ({first_line(error)})") from None
    raise Unusable(f"has no row {number}")


def _files(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix.lower() == SUFFIX:
        yield path
    elif path.is_dir():
        yield from sorted(p for depth in ("*", "*/*", "*/*/*") for p in path.glob(f"{depth}{SUFFIX}"))


def _without_bytes(opened: Any, columns: _columns.Columns) -> Any:
    """All rows of an open file, of structures the paths only."""
    import pyarrow as pa

    structures = {field.name: field for field in opened.schema_arrow if pa.types.is_struct(field.type)}
    paths = [f"{name}.path" for name in (columns.image, columns.mask) if name in structures]
    binary = [columns.mask] if columns.mask and columns.mask not in structures else []
    group = [columns.group] if columns.group else []
    return opened.read([columns.label, *group, *columns.more, *paths, *binary], use_threads=False)


@kept(3)
def _cells(file: Path, group: int, column: str) -> Any:
    """The column of a row group: it is compressed as a whole."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        size = opened.metadata.row_group(group).total_byte_size
        if size > LARGEST:
            raise Unusable(f"stands in a row group of {size:,} bytes, more than {LARGEST:,}")
        return opened.read_row_group(group, columns=[column], use_threads=False).column(column)

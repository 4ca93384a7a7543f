"""A folder that Hugging Face's `save_to_disk` made, of one data set or of one for each split; read by pyarrow alone."""

import json
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

SPLITS, STATE, ABOUT = "dataset_dict.json", "state.json", "dataset_info.json"
EXPECTED = "a folder that datasets' save_to_disk made"


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return (path / SPLITS).is_file() or ((path / STATE).is_file() and any(path.glob("*.arrow")))


def mapped(path: Path, how: Table) -> Listing:
    """The images in the rows of the data sets in the folder `path`; of `how`, the columns are used.

    Raises:
        UserError: if pyarrow is not installed, files are missing, or the columns can't be told.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise UserError(
            f"cohort {path}: is a Hugging Face data set, and pyarrow is not installed", fix=INSTALL
        ) from None
    found = Listing(path, [])
    splits = _json(path / SPLITS).get("splits", []) if (path / SPLITS).is_file() else [""]
    for split in map(str, splits):
        folder = path / split
        state, features = _json(folder / STATE), _json(folder / ABOUT).get("features")
        if state.get("_indices_data_files"):
            raise UserError(
                f"cohort {folder}: is a selection of the rows of its files", EXPECTED,
                "save it again: dataset.flatten_indices().save_to_disk(…)",
            )  # fmt: skip
        try:
            files = [folder / entry["filename"] for entry in state["_data_files"]]
        except (KeyError, TypeError):
            raise UserError(f"cohort {folder / STATE}: names no files", EXPECTED) from None
        for file in files:
            if reason := unfit(file, path):
                raise UserError(f"cohort {file}: {reason}", EXPECTED)
            try:
                table = _table(file)
                known = features if isinstance(features, dict) else _columns.features_of(table.schema)
                columns = _columns.columns_of(table.schema, known, file, how.named)
                _columns.add(found, file, "hugging_face", table, columns, side_of(split), how.named)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise UserError(f"cohort {file}: can't be read ({first_line(error)})", EXPECTED) from None
    return with_both_sides(found)


def decode(file: Path, name: str) -> Picture:
    """The picture at `name` (image/0: column and row).

    Raises:
        Unusable: if there is no image, or the file is damaged.
    """
    import pyarrow as pa

    column, _, row = name.rpartition("/")
    try:
        return _columns.decoded(_table(file).column(column)[int(row)].as_py())
    except (KeyError, ValueError, pa.ArrowException, OSError, IndexError) as error:
        raise Unusable(f"can't be read from Arrow ({first_line(error)})") from None


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cohort {file}: can't be read ({first_line(error)})", EXPECTED) from None
    if not isinstance(found, dict):
        raise UserError(f"cohort {file}: is not a JSON object", EXPECTED)
    return found


@kept(8)
def _table(file: Path) -> Any:
    """The rows of an Arrow stream, memory-mapped: only cells that are asked for are read."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        table = stream.read_all()
    table.validate(full=True)  # offsets could point anywhere
    return table

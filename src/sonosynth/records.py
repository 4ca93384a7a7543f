"""Records of finished jobs: what each depended on, and the digest of every file that it made."""

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sonosynth.errors import is_plain

FIELDS = {"inputs": dict, "files": dict, "seconds": float, "peak_mb": int}


@dataclass(frozen=True)
class Record:
    """inputs: everything that the result depended on (`jobs.Job.inputs`). files: SHA-256 of each "role/path below it".
    seconds, peak_mb: how long the job took, and the peak memory of its process in that
    time, or where the system can't tell up to its end.
    """

    inputs: Mapping[str, Any]
    files: Mapping[str, str]
    seconds: float
    peak_mb: int

    @property
    def places(self) -> dict[str, str]:
        """Where each of its files is, relative to the run."""
        roles: Mapping[str, str] = self.inputs["makes"]
        parts = {name: name.partition("/") for name in self.files}
        return {name: str(PurePosixPath(roles[role], below)) for name, (role, _, below) in parts.items()}


def read(path: Path) -> Record | None:
    """The record at `path`, or None if there is none or it is incomplete: the job is then run again."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(stored[name], kind) for name, kind in FIELDS.items()):
            return None
        record = Record(**{name: stored[name] for name in FIELDS})
        known = isinstance(record.inputs["needs"], dict) and all(map(_stays_inside, record.places.values()))
        return record if known else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def read_moving(path: Path) -> list[str]:
    """The places in a list that an interrupted job left of the files that it was moving; empty if there is none."""
    try:
        places = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except (OSError, ValueError, RecursionError):
        return []
    return [place for place in places if isinstance(place, str)] if isinstance(places, list) else []


def _stays_inside(place: str) -> bool:
    path = PurePosixPath(place)
    return is_plain(place) and bool(path.parts) and not path.is_absolute() and ".." not in path.parts

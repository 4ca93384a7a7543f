"""Files: written whole or not at all, hashed, and checked to be what they seem before they are opened."""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth.errors import UserError
from sonosynth.parallel import in_threads


def sha256(path: Path, *, synced: bool = False) -> str:
    """Hexadecimal SHA-256 of a file's bytes, which, if `synced`, are safely on disk from now on."""
    with path.open("rb") as file:
        if synced:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(path: Path) -> list[Path]:
    """A file itself, or all files below a folder, sorted."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def digest(folder: Path, patterns: Sequence[str] = ("**/*",)) -> str:
    """One digest of the names and contents of the files below a folder that match `patterns`, wherever it lies."""
    files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
    return combined(
        {f.relative_to(folder).as_posix(): d for f, d in zip(files, in_threads(sha256, files), strict=True)}
    )


def combined(files: Mapping[str, str]) -> str:
    """One digest of files, from the digest of each by name."""
    lines = "".join(f"{name}\0{content}\n" for name, content in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whatever happens to the process, the disk or the power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    partial_file.unlink(missing_ok=True)  # a stopped process's, or a link that would be followed
    try:
        with partial_file.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial_file, path)
    except BaseException:
        partial_file.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a NumPy array, without pickle, whatever the file is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def check_new(out: Path) -> None:
    """Raise UserError if something is at `out`, other than an empty folder."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise UserError(f"--out {out}: exists and is not empty", "a new folder")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; nothing stays of it if that is not reached.

    Raises:
        UserError: as `check_new`.
    """
    check_new(out)
    final = out.resolve()
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    folder.chmod(0o755)
    try:
        yield folder
        folder.replace(final)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def sync(folder: Path) -> None:
    """Make the names in a folder safe on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refresh(folder: Path) -> None:
    """See what other machines have just written below a folder: NFS asks the server again for folders that are read."""
    for _ in folder.rglob("*"):
        pass


def check_regular(root: Path, *paths: Path) -> None:
    """Raise UserError unless there are files and folders alone at `paths` below `root`, on the way there, and below.

    A link would lead elsewhere, and opening a named pipe would block.
    """
    for path in paths:
        way = [path, *path.parents[: len(path.relative_to(root).parts) - 1]]
        below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
        for step in (*way, *below):
            if kind := _kind(step):
                raise UserError(f"{step}: is {kind}", "only regular files and folders in a run", "move or remove it")


def _kind(path: Path) -> str:
    """What is at a path, if it is neither a file nor a folder; "" otherwise."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "neither a regular file nor a folder"

"""Results on disk: whole or not at all, and checked against a record of what was written.

A job works in `.work/`, where what it has done so far survives an interruption. When all of its results are there they
are moved into place, and the record `.jobs/<name>.json` is written last: it holds everything that the result depends
on, and the SHA-256 of every file.
"""

import hashlib
import json
import os
import resource
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sonosynth.errors import UserError
from sonosynth.jobs import Job, Made, State, Status, differences, key
from sonosynth.parallel import in_threads

WORK, RECORDS, OLD_RECORDS = ".work", ".jobs", ".stages"
LOCK, HOLDER = ".lock", ".lock.holder"
STUDY = "study.yaml"


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
    return _total({f.relative_to(folder).as_posix(): d for f, d in zip(files, in_threads(sha256, files), strict=True)})


def _total(files: Mapping[str, str]) -> str:
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


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or just what a process that was stopped before it began leaves behind."""
    return all(path.name in (LOCK, HOLDER) or path.suffix == ".partial" for path in folder.iterdir())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


class Run:
    """The folder of a study."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: dict[str, Made] = {}  # by key: each file is hashed once per command

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the run; the system frees the lock of a process that is gone.

        A run that fails before its first job is done leaves nothing behind.

        Raises:
            UserError: if another process is using it; the message names that process.
        """
        holder, lock = self.root / HOLDER, FileLock(self.root / LOCK)
        existed = self.root.exists()
        fresh = not existed or is_empty(self.root)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.root}: is in use by {_text(holder) or 'another process'}",
                "one process at a time in a run",
                "wait for it or stop it, or give another --out",
            ) from None
        try:
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            write_text(holder, f"process {os.getpid()} on {socket.gethostname()} since {now} ({command})")
            yield
        except UserError:
            if fresh and not (self.root / RECORDS).exists():
                shutil.rmtree(self.root / WORK, ignore_errors=True)
                (self.root / STUDY).unlink(missing_ok=True)
            raise
        finally:
            holder.unlink(missing_ok=True)
            if is_empty(self.root):
                (self.root / LOCK).unlink(missing_ok=True)
                if not existed:
                    shutil.rmtree(self.root, ignore_errors=True)
            lock.release()

    def statuses(self, ordered: Iterable[Job]) -> dict[str, Status]:
        """The state of every job of a study, by name; raises as `status` does."""
        found: dict[str, Status] = {}
        made: dict[str, Made] = {}
        for job in ordered:
            found[job.name] = status = self.status(job, made)
            if status.made:
                made[job.name] = status.made
        return found

    def status(self, job: Job, made: Mapping[str, Made]) -> Status:
        """The state of a job, given what those of its needs that are done have `made`, by name.

        Raises:
            UserError: if a file is not what the job wrote, or a link points outside the run.
        """
        record = self._record(job)
        self._check_inside(record, *(self.root / place for place in job.makes.values()))
        stored = _record(record)
        if stored is None:
            return Status(State.MISSING, "not run yet")
        before, now = stored["inputs"], job.inputs(made)
        own = [name for name in differences(before, now) if name.partition(".")[0] != "needs"]
        if own:
            return Status(State.STALE, f"{', '.join(own)} changed")
        if waiting := [name for name in job.needed if name not in made]:
            return Status(State.WAITING, f"{waiting[0]} has to run first")
        if changed := differences(before["needs"], now["needs"]):
            return Status(State.STALE, f"{', '.join(changed)} changed")
        checked = key(now)
        if checked not in self._checked:
            if gone := self._check_files(job, stored["files"]):
                return Status(State.MISSING, f"{gone} is gone")
            self._checked[checked] = self._made(job, stored)
        return Status(State.DONE, made=self._checked[checked])

    def _made(self, job: Job, stored: Mapping[str, Any]) -> Made:
        places = {role: self.root / place for role, place in job.makes.items()}
        return Made(job.name, places, stored["files"], _total(stored["files"]), stored["seconds"], stored["peak_mb"])

    def _check_files(self, job: Job, expected: Mapping[str, str]) -> str:
        """The first missing file, or ""; raises UserError if one exists and is not what was written."""
        paths = []
        for name in expected:
            role, _, below = name.partition("/")
            paths.append(self.root / job.makes[role] / below)
            if not paths[-1].is_file():
                return paths[-1].relative_to(self.root).as_posix()
        for path, digest, found in zip(paths, expected.values(), in_threads(sha256, paths), strict=True):
            if found != digest:
                raise UserError(
                    f"{path}: is not what the job {job.name} wrote",
                    "files of a run as they were written",
                    f"restore it, or remove it and run the same command again: {job.name} and what depends on it will"
                    " be made again",
                )
        return ""

    def work(self, job: Job, made: Mapping[str, Made]) -> Path:
        """The folder in which a job works until it is done; the same one when an interrupted job resumes."""
        folder = self.root / WORK / f"{_slug(job.name)}-{key(job.inputs(made))[:12]}"
        self._check_inside(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, job: Job, made: Mapping[str, Made], work: Path, seconds: float) -> Made:
        """Move what a job wrote into place, and record it.

        Raises:
            FileNotFoundError: if it did not write what it said it would.
        """
        record = self._record(job)
        record.unlink(missing_ok=True)
        paths = [path for role in job.makes for path in files_below(work / role)]
        names = [path.relative_to(work).as_posix() for path in paths]
        files = dict(zip(names, in_threads(partial(sha256, synced=True), paths), strict=True))
        for role, place in job.makes.items():
            final, old = self.root / place, self.root / WORK / "replaced" / _slug(place)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():  # a folder can't be replaced in one step: move the old one away first
                shutil.rmtree(old, ignore_errors=True)
                old.parent.mkdir(parents=True, exist_ok=True)
                final.rename(old)
            os.replace(work / role, final)
            shutil.rmtree(old, ignore_errors=True)
        stored = {"inputs": job.inputs(made), "files": files, "seconds": round(seconds, 2), "peak_mb": _peak_mb()}
        write_json(record, stored)
        self.clear(job)
        return self._made(job, stored)

    def clear(self, job: Job) -> None:
        """Remove the work folders of a job that is done."""
        for folder in (self.root / WORK).glob(f"{_slug(job.name)}-????????????"):
            shutil.rmtree(folder)

    def tidy(self, jobs: Iterable[Job]) -> list[str]:
        """Remove folders that are empty once no job is running; return the names of jobs that are no longer planned."""
        for folder in (self.root / WORK / "replaced", self.root / WORK):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        records = {path.relative_to(self.root / RECORDS).as_posix() for path in (self.root / RECORDS).rglob("*.json")}
        return sorted(record.removesuffix(".json") for record in records - {f"{job.name}.json" for job in jobs})

    def _record(self, job: Job) -> Path:
        return self.root / RECORDS / f"{job.name}.json"

    def _check_inside(self, *paths: Path) -> None:
        for path in paths:
            if path.is_symlink() or not path.parent.resolve().is_relative_to(self.root.resolve()):
                raise UserError(
                    f"{path}: is or lies behind a symbolic link",
                    "files of the run inside its folder",
                    "remove the link",
                )


def _record(path: Path) -> dict[str, Any] | None:
    """A record, or None if there is none or it is incomplete: the job is then run again."""
    try:
        stored = json.loads(_text(path))
        known = {"inputs": dict, "files": dict, "seconds": float, "peak_mb": int}
        return stored if all(isinstance(stored[name], kind) for name, kind in known.items()) else None
    except (ValueError, KeyError, TypeError):
        return None


def _slug(name: str) -> str:
    return name.replace("/", ",")


def _peak_mb() -> int:
    """The peak memory of this process so far, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)

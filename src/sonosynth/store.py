"""Results on disk: whole or not at all, and checked against a record of what was written.

A job works in `.work/`, where what it has done so far survives an interruption. When all of its results are there they
are moved into place, and the record `.jobs/<name>.json` is written last: it holds everything that the result depends
on, and the SHA-256 of every file.
"""

import glob
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path

from sonosynth import claims, disk, records
from sonosynth.errors import UserError, first_line
from sonosynth.jobs import Job, Made, State, Status, differences, key
from sonosynth.parallel import in_threads
from sonosynth.records import Record

WORK, RECORDS, OLD_RECORDS = ".work", ".jobs", ".stages"
LOCK, AGREED = ".lock", ".agreed"
MOVING = ".moving"  # a job's files that are being moved into place
CLUTTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # of file managers
WORK_NAME = re.compile(r".+-[0-9a-f]{12}")
STUDY = "study.yaml"


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or just what a process that was stopped before it began leaves behind."""
    return all(path.name == LOCK or path.suffix == ".partial" for path in folder.iterdir())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except OSError:
        return ""


class Run:
    """The folder of a study."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked: dict[str, Made] = {}  # by key
        self._digests: dict[Path, str] = {}  # each file is hashed once per command

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the run; the system frees the lock of a process that is gone.

        A run that fails before its first job is done leaves nothing behind.

        Raises:
            UserError: if another process is using it; the message names that process.
        """
        disk.check_regular(self.root, *(self.root / name for name in (STUDY, LOCK, AGREED, WORK, RECORDS)))
        existed = self.root.exists()
        fresh = not existed or is_empty(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--out {self.root}: can't be created ({first_line(error)})", "a place for a new folder"
            ) from None
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            with claims.held(self.root / LOCK, more=f" since {now} ({command})"):
                try:
                    yield
                except UserError:
                    if fresh and not (self.root / RECORDS).exists():
                        shutil.rmtree(self.root / WORK, ignore_errors=True)
                        (self.root / STUDY).unlink(missing_ok=True)
                    raise
                finally:
                    if not existed and is_empty(self.root):
                        shutil.rmtree(self.root, ignore_errors=True)
        except claims.HeldError as error:
            raise UserError(
                f"{self.root}: is in use by {error.holder}",
                "one process at a time in a run",
                "wait for it or stop it, or give another --out",
            ) from None

    @property
    def agreed(self) -> str:
        """The study.yaml that somebody agreed to change the run to, until that is done; else ""."""
        return _text(self.root / AGREED)

    @agreed.setter
    def agreed(self, text: str) -> None:
        disk.write_text(self.root / AGREED, text)
        if not text:
            (self.root / AGREED).unlink()

    def statuses(self, ordered: Iterable[Job]) -> list[tuple[Job, Status]]:
        """The state of every job of a study; raises as `status` does."""
        found: list[tuple[Job, Status]] = []
        made: dict[str, Made] = {}
        for job in ordered:
            found.append((job, self.status(job, made)))
            if found[-1][1].made:
                made[job.name] = found[-1][1].made
        return found

    def status(self, job: Job, made: Mapping[str, Made]) -> Status:
        """The state of a job, given what those of its needs that are done have `made`, by name.

        Raises:
            UserError: if a file is not what the job wrote; or for a link, or anything else that is neither a file nor
                a folder, in its place.
        """
        path = self.record_path(job.name)
        disk.check_regular(self.root, path, *(self.root / place for place in job.makes.values()))
        if path.is_dir() or any(folder.is_file() for folder in path.parents):
            raise UserError(f"{path}: is a folder, or lies in a file", "the record of a job", "move that elsewhere")
        record = records.read(path)
        if record is None:
            return Status(State.MISSING, "not run yet")
        if reason := self._why_stale(job, record, made):
            self._check_files(job, record)  # what somebody altered must not be replaced silently either
            return Status(State.STALE, reason)
        if waiting := [name for name in job.needed if name not in made]:
            return Status(State.WAITING, f"{waiting[0]} has to run first", last=self._made(job, record))
        checked = key(job.inputs(made))
        if checked not in self._checked:
            if gone := self._check_files(job, record):
                return Status(State.MISSING, f"{gone} is gone")
            self._checked[checked] = self._made(job, record)
        return Status(State.DONE, made=self._checked[checked])

    def _why_stale(self, job: Job, record: Record, made: Mapping[str, Made]) -> str:
        """What changed since a job ran, or ""; needs are compared only once all are made."""
        before, now = record.inputs, job.inputs(made)
        changed = [name for name in differences(before, now) if name.partition(".")[0] != "needs"]
        if not changed and all(name in made for name in job.needed):
            changed = differences(before["needs"], now["needs"])
        return f"{', '.join(changed)} changed" if changed else ""

    def _made(self, job: Job, record: Record) -> Made:
        places = {role: self.root / place for role, place in job.makes.items()}
        return Made(job.name, places, record.files, disk.combined(record.files), record.seconds, record.peak_mb)

    def _check_files(self, job: Job, record: Record) -> str:
        """The first missing file, or ""; raises UserError if one exists and is not what was written."""
        paths = {name: self.root / place for name, place in record.places.items()}
        disk.check_regular(self.root, *paths.values())
        there = {name: path for name, path in paths.items() if path.exists()}
        digests = in_threads(self._digest, list(there.values()))
        for (name, path), digest in zip(there.items(), digests, strict=True):
            if digest != record.files[name]:
                raise UserError(
                    f"{path}: is not what the job {job.name} wrote",
                    "files of a run as they were written",
                    f"restore it, or remove it and run the same command again: {job.name} and what depends on it will"
                    " be made again",
                )
        return next((path.relative_to(self.root).as_posix() for name, path in paths.items() if name not in there), "")

    def _digest(self, path: Path) -> str:
        """The SHA-256 of a file, read once per command; "" for a folder."""
        if path not in self._digests:
            self._digests[path] = "" if path.is_dir() else disk.sha256(path)
        return self._digests[path]

    def recorded(self) -> dict[str, Record]:
        """The records of all finished jobs, by name, whether they are still planned or not."""
        folder = self.root / RECORDS
        disk.check_regular(self.root, folder)
        found = {path.relative_to(folder).as_posix(): records.read(path) for path in sorted(folder.rglob("*.json"))}
        return {name.removesuffix(".json"): record for name, record in found.items() if record}

    def work(self, job: Job, made: Mapping[str, Made]) -> Path:
        """The folder in which a job works until it is done; the same one when an interrupted job resumes.

        Raises:
            UserError: for a link or the like in it; or if a file that the run did not make is in the job's place.
        """
        folder = self.root / WORK / self.work_prefix(job, made)
        disk.check_regular(self.root, folder)
        self._check_own(job, {})
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, job: Job, made: Mapping[str, Made], work: Path, seconds: float, peak_mb: int) -> Made:
        """Move what a job wrote into place, and record it; seconds and peak_mb: as in `records.Record`.

        Raises:
            FileNotFoundError: if it did not write what it said it would.
            UserError: as `work`.
        """
        path = self.record_path(job.name)
        moving = path.with_suffix(MOVING)
        paths = [file for role in job.makes for file in disk.files_below(work / role)]
        names = [file.relative_to(work).as_posix() for file in paths]
        files = dict(zip(names, in_threads(partial(disk.sha256, synced=True), paths), strict=True))
        record = Record(job.inputs(made), files, round(seconds, 2), peak_mb)
        new = {place: files[name] for name, place in record.places.items()}
        known = self._check_own(job, new)
        disk.write_json(moving, sorted({*known, *new}))  # from here on, the job is not done; what is its own is known
        path.unlink(missing_ok=True)
        for role, place in job.makes.items():
            final, old = self.root / place, self.root / WORK / "replaced" / _slug(place)
            disk.check_regular(self.root, final, old)
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():  # a folder can't be replaced in one step: move the old one away first
                shutil.rmtree(old, ignore_errors=True)
                old.parent.mkdir(parents=True, exist_ok=True)
                final.rename(old)
            os.replace(work / role, final)
            disk.sync(final.parent)
            shutil.rmtree(old, ignore_errors=True)
        disk.write_json(path, asdict(record))
        moving.unlink(missing_ok=True)
        self.clear(job)
        return self._made(job, record)

    def _check_own(self, job: Job, new: Mapping[str, str]) -> set[str]:
        """Refuse to overwrite what this run did not write: unknown files, or a folder where a file belongs.

        Args:
            new: SHA-256 of each file that the job is about to write; empty before it runs.

        Returns the places of all files that it wrote before, done or not.
        """
        path = self.record_path(job.name)
        record = records.read(path)
        known = {*(record.places.values() if record else ()), *records.read_moving(path.with_suffix(MOVING))}
        for place in job.makes.values() if known or new else ():
            final = self.root / place
            if final.is_dir() and (place in known or place in new):
                raise UserError(f"{final}: is a folder", "a file", "move it elsewhere")
            for file in disk.files_below(final) if final.exists() else ():
                name = file.relative_to(self.root).as_posix()
                if name in known or file.name in CLUTTER or (name in new and disk.sha256(file) == new[name]):
                    continue
                raise UserError(
                    f"{file}: does not belong to this run, but lies where the job {job.name} writes",
                    "only files of this run",
                    "move it elsewhere",
                )
        return known

    def work_prefix(self, job: Job, made: Mapping[str, Made]) -> str:
        """How the name of a job's work folder begins: the whole name, if all of its needs are `made`."""
        known = all(name in made for name in job.needed)
        return f"{_slug(job.name)}-" + (key(job.inputs(made))[:12] if known else "")

    def unfinished(self) -> list[Path]:
        """All work folders."""
        disk.check_regular(self.root, self.root / WORK)
        return sorted(
            path for path in (self.root / WORK).glob("*-*") if WORK_NAME.fullmatch(path.name) and path.is_dir()
        )

    def clear(self, job: Job) -> None:
        """Remove the work folders of a job that is done."""
        for folder in (self.root / WORK).glob(f"{glob.escape(_slug(job.name))}-????????????"):
            shutil.rmtree(folder)

    def tidy(self) -> None:
        """Remove folders that are empty once no job is running."""
        for claim in (self.root / WORK).glob("*.claim"):  # of processes that were killed
            if not claims.holder(claim):
                claim.unlink(missing_ok=True)
        for folder in (self.root / WORK / "replaced", self.root / WORK):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def record_path(self, name: str) -> Path:
        """Where the record of a job is."""
        return self.root / RECORDS / f"{name}.json"

    def claim_path(self, name: str) -> Path:
        """Where the claim of a process that works on a job is."""
        return self.root / WORK / f"{_slug(name)}.claim"

    def forget(self) -> None:
        """Read all files again: another process may have replaced some."""
        self._digests.clear()


def _slug(name: str) -> str:
    return name.replace("/", ",")

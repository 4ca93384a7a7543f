"""Artefacts on disk: a stage publishes its files whole, remembers what they were made from, and is not run again.

A stage's key is a digest of its settings and of the content of the artefacts it reads. The record of a
finished stage (`.stages/<name>.json` in the run) holds that key. A stage works in `.work/`, where what it has
done so far survives an interruption, and its outputs are moved into place when all of them are there.
"""

import hashlib
import json
import os
import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sonosynth import progress
from sonosynth.errors import UserError

WORK = ".work"
FORMAT = 2  # of the artefacts; those of an older one are made again
LOCK, HOLDER = ".lock", ".lock.holder"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*paths: Path) -> str:
    """One digest of the names and contents of files, and of all files below folders."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            total.update(f"{file.relative_to(path.parent).as_posix()}\0{sha256(file)}\n".encode())
    return total.hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whatever happens to the process, the disk or the power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)  # a stopped process's, or a link that would be followed
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing, or just what a process leaves that was stopped before it began."""
    return all(path.name in (LOCK, HOLDER) or path.suffix == ".partial" for path in folder.iterdir())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


class Run:
    """The folder of a study.

    Args:
        boundary: a folder that holds `root`; no link leads reading or writing out of it.
    """

    def __init__(self, root: Path, boundary: Path | None = None) -> None:
        self.root, self.boundary = root, boundary or root
        self._lock = FileLock(root / LOCK)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out of the run. The system frees the lock of a process that is gone.

        Raises:
            UserError: if another process works on it; it is named.
        """
        holder = self.root / HOLDER
        if self._lock.is_locked:
            yield
            return
        new = not self.root.exists()
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.root}: is being worked on by {_text(holder) or 'another process'}",
                "one process at a time in a run",
                "wait for it or stop it, or give another --out",
            ) from None
        try:
            command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            write_text(holder, f"process {os.getpid()} on {socket.gethostname()} since {now} ({command})")
            yield
        finally:
            holder.unlink(missing_ok=True)
            if is_empty(self.root):  # bad input leaves nothing behind
                (self.root / LOCK).unlink(missing_ok=True)
                if new:
                    shutil.rmtree(self.root, ignore_errors=True)
            self._lock.release()

    def stage(
        self,
        name: str,
        inputs: dict[str, Any],
        outputs: Sequence[str],
        make: Callable[[Path], None],
        quiet: bool = False,
        before: float = 0.0,
    ) -> bool:
        """Run a stage unless it is finished for the same inputs; return whether it ran.

        Args:
            name: of the stage, unique in the run.
            inputs: everything that the outputs depend on, as JSON values.
            outputs: files and folders, relative to the run.
            make: writes the outputs below the folder it is given, the same one when an interrupted stage
                goes on. What it writes elsewhere in that folder is dropped.
            quiet: don't say that the stage was finished before.
            before: seconds of work that had been done for it when it was called.
        """
        if self.finished(name, inputs, outputs):
            if not quiet:
                progress.say(f"{name}: done before, kept")
            return False
        key, record, working = _key(inputs), self._record(name), self.root / WORK
        work = working / f"{name}-{key[:12]}"
        work.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        make(work)
        seconds = before + time.monotonic() - started

        record.unlink(missing_ok=True)
        for output in outputs:
            final, old = self.root / output, working / "replaced"
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():  # a folder can't be replaced in one step: move the old one away first
                shutil.rmtree(old, ignore_errors=True)
                final.rename(old)
            os.replace(work / output, final)
            shutil.rmtree(old, ignore_errors=True)
        about = {"key": key, "inputs": inputs, "outputs": list(outputs)}
        write_json(record, {**about, "seconds": round(seconds, 2), "peak_mb": round(_peak_mb())})
        self._clear(name)
        return True

    def finished(self, name: str, inputs: dict[str, Any], outputs: Sequence[str]) -> bool:
        """Whether a stage is finished for these inputs, and its outputs are there.

        If so, what a process left in `.work` that was stopped just before its end is cleared away.

        Raises:
            UserError: if a link leads out of the run.
        """
        key, record = _key(inputs), self._record(name)
        work = self.root / WORK / f"{name}-{key[:12]}"
        for path in (record, work, *(self.root / output for output in outputs)):
            self.check_inside(path)
        if not all((self.root / output).exists() for output in outputs):
            return False
        try:
            done = bool(json.loads(_text(record))["key"] == key)
        except (ValueError, KeyError, TypeError):  # none, or a damaged one: the stage is run again
            return False
        if done:
            self._clear(name)
        return done

    def _clear(self, name: str) -> None:
        working = self.root / WORK
        for stale in working.glob(f"{name}-????????????"):
            shutil.rmtree(stale)
        if working.exists() and not any(working.iterdir()):
            working.rmdir()

    def finished_stages(self) -> list[dict[str, Any]]:
        """stage, seconds and peak_mb (memory of the process until then) of every finished stage, in their order."""
        files = sorted((self.root / ".stages").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        return [
            {"stage": file.stem, "seconds": found.get("seconds"), "peak_mb": found.get("peak_mb")}
            for file, found in zip(files, records, strict=True)
        ]

    def check_inside(self, path: Path) -> None:
        """Raise UserError if `path` is a link, or lies behind one that leads out of the run."""
        if path.is_symlink() or not path.parent.resolve().is_relative_to(self.boundary.resolve()):
            raise UserError(
                f"{path}: is or lies behind a symbolic link", "files of the run inside its folder", "remove the link"
            )

    def _record(self, name: str) -> Path:
        return self.root / ".stages" / f"{name}.json"


def _peak_mb() -> float:
    """The largest memory that this process ever had, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _key(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([FORMAT, inputs], sort_keys=True).encode()).hexdigest()

"""What earlier settings left in a run: results and unfinished work that no job needs any more."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sonosynth import disk
from sonosynth.jobs import Job, Status
from sonosynth.store import Run


@dataclass(frozen=True)
class Leftover:
    """Files and folders that no job of the study needs any more, what they are of, and their size in bytes."""

    name: str
    paths: Sequence[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.lstat().st_size for path in self.paths for file in disk.files_below(path))

    def remove(self) -> None:
        """Delete them, and the folders that are empty then."""
        for path in self.paths:
            if path.is_dir():
                shutil.rmtree(path)
                continue
            path.unlink()
            for folder in path.parents:
                if any(folder.iterdir()):
                    break
                folder.rmdir()


def find(run: Run, statuses: Sequence[tuple[Job, Status]]) -> list[Leftover]:
    """Results of jobs that are no longer planned, and unfinished work that no job would take up."""
    planned = {job.name for job, _ in statuses}
    kept = [run.root / place for job, _ in statuses for place in job.makes.values()]
    found = []
    for name, record in run.recorded().items():
        if name not in planned:
            paths = [run.root / place for place in record.places.values()]
            gone = [path for path in paths if path.is_file() and not any(map(path.is_relative_to, kept))]
            found.append(Leftover(name, [*gone, run.record_path(name)]))
    made = {job.name: status.made for job, status in statuses if status.made}
    useful = tuple(run.work_prefix(job, made) for job, status in statuses if not status.made)
    for folder in run.unfinished():
        if not folder.name.startswith(useful):
            found.append(Leftover(f"unfinished work in {folder.name}", [folder]))
    return found

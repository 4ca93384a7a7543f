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
            path.unlink(missing_ok=True)  # two forged records may name one file
            for folder in path.parents:
                if folder.is_dir():
                    if any(folder.iterdir()):
                        break
                    folder.rmdir()


def find(run: Run, statuses: Sequence[tuple[Job, Status]]) -> list[Leftover]:
    """Results of jobs that are no longer planned, and unfinished work that no job would take up.

    Files that are not what such a job wrote are somebody's, and so are all that the run did not make.

    Raises:
        UserError: for a link, or anything else that is neither a file nor a folder, among them.
    """
    planned = {job.name for job, _ in statuses}
    kept = [run.root / place for job, _ in statuses for place in job.makes.values()]
    found = []
    for name, record in run.recorded().items():
        if name not in planned:
            paths = {run.root / place: record.files[file] for file, place in record.places.items()}
            gone = [path for path in paths if not any(map(path.is_relative_to, kept))]
            disk.check_regular(run.root, *gone)
            own = [path for path in gone if path.is_file() and disk.sha256(path) == paths[path]]
            found.append(Leftover(name, [*own, run.record_path(name)]))
    made = {job.name: status.made for job, status in statuses if status.made}
    useful = tuple(run.work_prefix(job, made) for job, status in statuses if not status.made)
    for folder in run.unfinished():
        if not folder.name.startswith(useful):
            found.append(Leftover(f"unfinished work in {folder.name}", [folder]))
    return found

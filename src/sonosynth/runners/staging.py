"""Files of jobs on nodes that don't share the run folder: what a job needs travels there, and what it made back.

They travel as bytes, through Ray's object store; see `ray`.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sonosynth import disk
from sonosynth.jobs import Job, Made
from sonosynth.runners.execution import Spent, perform

Parcel = Mapping[str, bytes]
"""The bytes of files by "role/path below it"; a role that is a folder stands there, too: "role/"."""


@dataclass(frozen=True)
class Returned:
    """What a job made, and what that took."""

    parcel: Parcel
    spent: Spent


def pack(places: Mapping[str, Path]) -> Parcel:
    """The files and folders of some roles."""
    packed: dict[str, bytes] = {}
    for role, place in places.items():
        if place.is_dir():
            packed[f"{role}/"] = b""
        for file in disk.files_below(place):
            packed["/".join((role, *file.relative_to(place).parts))] = file.read_bytes()
    return packed


def unpack(parcel: Parcel, places: Mapping[str, Path]) -> None:
    """Write what `pack` packed to the place of each role; what is there is replaced."""
    for place in places.values():
        if place.is_dir():
            shutil.rmtree(place)
    for name, data in parcel.items():
        role, slash, below = name.partition("/")
        path = places[role] / below if below else places[role]
        if slash and not below:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def folder_of(study: str) -> Path:
    """Where a node keeps what travelled there for a study, which has that key."""
    return Path(tempfile.gettempdir()) / f"sonosynth-{study}"


def run_staged(job: Job, made: Mapping[str, Made], fetch: Callable[[str], Parcel], study: str) -> Returned:
    """Run a job on this machine, in a folder of its own, without the run.

    Args:
        made: what the jobs that it needs made, by name. fetch: gets what one of them made; called only if that has not
            been fetched before. study: its key.
    """
    folder = folder_of(study)
    folder.mkdir(mode=0o700, exist_ok=True)
    here = {}
    for name, one in made.items():
        place = folder / disk.combined({name: one.digest})
        if not place.is_dir():
            arriving = Path(tempfile.mkdtemp(dir=folder))
            unpack(fetch(name), _places(one, arriving))
            try:
                arriving.rename(place)
            except OSError:  # another process was faster
                shutil.rmtree(arriving)
        here[name] = replace(one, places=_places(one, place))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        spent = perform(job, here, Path(work))
        return Returned(pack({role: Path(work) / role for role in job.makes}), spent)


def _places(made: Made, folder: Path) -> dict[str, Path]:
    """Where the roles of what a job made are in a folder, under the names that they have in the run."""
    return {role: folder / role / place.name for role, place in made.places.items()}


def forget(study: str) -> None:
    """Remove what was kept on this machine for a study."""
    shutil.rmtree(folder_of(study), ignore_errors=True)

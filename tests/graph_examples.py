"""Small jobs for the tests of jobs, store and runner. Their functions stand in a module, so that they can travel."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sonosynth import interruption, progress
from sonosynth.artefacts import Artefact
from sonosynth.disk import write_text
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.section import NO_EFFECT

VERSION = 1


@dataclass(frozen=True)
class Writing:
    text: str
    speed: Annotated[int, NO_EFFECT] = 1


@dataclass(frozen=True)
class Reading:
    path: Annotated[Path, NO_EFFECT]


def read(settings: Reading, *, work: Path) -> None:
    (work / "file").write_text(settings.path.read_text())


def write(settings: Writing, *, work: Path) -> None:
    (work / "folder").mkdir(exist_ok=True)
    (work / "folder" / "a.txt").write_text(settings.text)
    (work / "file").write_text(settings.text)


def join(settings: Writing, *, parts: tuple[Artefact, ...], first: Artefact | None = None, work: Path) -> None:
    texts = [part.place("file").read_text() for part in (*parts, *([first] if first else []))]
    (work / "file").write_text(settings.text.join(texts))


def fail(settings: Writing, *, work: Path) -> None:
    raise UserError(settings.text, "that it works", "try again")


def full_disk(settings: Writing, *, work: Path) -> None:
    (work / "file").symlink_to("/dev/full")
    (work / "file").write_text(settings.text)


def die(settings: Writing, *, work: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class OddError(Exception):
    """Can't be unpickled: its arguments are not those of its making."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def odd(settings: Writing, *, work: Path) -> None:
    raise OddError(1, 2)


def slow(settings: Writing, *, work: Path) -> None:
    """Counts to 100, a count at a time, and saves where it is when it is interrupted."""
    counter = work / "file"
    done = int(counter.read_text()) if counter.exists() else 0
    with progress.task("counting", 100, done) as bar, interruption.held_back() as interrupted:
        while done < 100 and not interrupted():
            time.sleep(0.05 * settings.speed)
            done += 1
            bar.advance()
        write_text(counter, str(done))  # whole or not at all: the process may be killed meanwhile


def writing(name, text="one", **more):
    return Job(name, write, Writing(text, **more), {}, {"folder": f"{name}/folder", "file": f"{name}.txt"})


def joined(*names, text="+"):
    return Job("joined", join, Writing(text), {"parts": names}, {"file": "joined.txt"})

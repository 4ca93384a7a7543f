"""Which job starts when, and where: one loop for all runners, which differ in what runs a job, and in how many fit.

A job starts when its needs are done and what it asks for is free.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sonosynth import progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job, Made, State
from sonosynth.runners.overview import Overview
from sonosynth.store import Run

DEATHS = 8  # of processes that ran the same job, after which it is given up
LOOK = 10.0  # seconds after which the capacity is looked at again, while jobs run

Submit = Callable[[Job, Mapping[str, Made], str], Future[Made]]
"""Starts a job, given what the jobs that it needs made, where it was placed."""


class LostError(Exception):
    """The process that ran a job is gone, or its machine is; the job may start again. The text says which."""


@dataclass(frozen=True)
class Placed:
    """A job that runs, and where."""

    job: Job
    where: str


class Capacity(Protocol):
    """How many jobs run beside each other: on `machines`, each with so many `cores`."""

    @property
    def cores(self) -> int: ...  # noqa: D102

    @property
    def machines(self) -> int: ...  # noqa: D102

    def place(self, job: Job, running: Sequence[Placed]) -> str | None:
        """Where the job may start beside those that are running, in words; "": here; None if it has to wait."""


def run_jobs(
    run: Run, ordered: Sequence[Job], capacity: Capacity, workers: AbstractContextManager[Submit],
    replaceable: Container[object] | None = None,
) -> dict[str, Made]:  # fmt: skip
    """Run those of the jobs that are not done; returns what every one made, by name.

    Args:
        ordered: jobs, each after those it needs. workers: where they run, from the first one to the last.
        replaceable: functions of jobs whose results may be replaced if they turn out to be stale; None: all.

    Raises:
        UserError: of the first job that fails; or if results would be replaced that may not be.
        KeyboardInterrupt: on SIGINT or SIGTERM. In both cases, jobs that are running save their work first; a second
            signal ends them at once.
    """
    made: dict[str, Made] = {}
    waiting, running, deaths = list(ordered), dict[Future[Made], Placed](), Counter[str]()
    overview = Overview(ordered, made, capacity)
    with overview, workers as submit:
        while waiting or running:
            for job in list(waiting):
                if not all(name in made for name in job.needed):
                    continue
                status = run.status(job, made)
                if status.made:
                    made[job.name] = status.made
                    run.clear(job)
                    overview.kept += 1
                elif status.state is State.STALE and replaceable is not None and job.run not in replaceable:
                    raise UserError(
                        f"the inputs of {job.name} came out differently this time ({status.reason})",
                        "the same inputs as before (same versions, same kind of machine)",
                        "restore the files that were missing, or replace the results: sonosynth run … --change",
                    )
                elif (where := capacity.place(asking := overview.asking(job), list(running.values()))) is not None:
                    overview.start(job, status.reason if status.state is State.STALE else "", where)
                    future = submit(asking, {name: made[name] for name in job.needed}, where)
                    running[future] = Placed(asking, where)
                else:
                    break  # no overtaking: a job that asks for all cores might wait forever
                waiting.remove(job)
            for future in wait(running, LOOK, return_when=FIRST_COMPLETED).done:
                job = running.pop(future).job
                try:
                    with overview.ending(job):
                        made[job.name] = future.result()
                except LostError as error:
                    deaths[job.name] += 1
                    if deaths[job.name] == DEATHS:
                        raise killed(f"{job.name}: the process that ran it was lost {DEATHS} times ({error})") from None
                    progress.warn(f"{job.name} starts again where it was: {error}")
                    waiting.insert(0, job)
                    run.forget()
    return made


def killed(found: str) -> UserError:
    """The error that processes which ran a job do not survive it."""
    return UserError(
        f"{found}; the system does that when memory runs out",
        fix="lower classifier.batch, lora.batch, unet.batch or resolution: sonosynth run … --change; finished"
        " work that does not depend on them is kept",
    )

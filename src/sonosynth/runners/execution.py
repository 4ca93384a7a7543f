"""One job, from its needs to its record, in whichever process."""

import pickle
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from sonosynth import claims, progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job, Made, Status
from sonosynth.store import Run

SPENT = ".seconds"  # in the work folder of an interrupted job


@dataclass(frozen=True)
class Spent:
    """What a job took. seconds: interrupted calls included. peak_mb: as in `records.Record`."""

    seconds: float
    peak_mb: int


Perform = Callable[[Job, Mapping[str, Made], Path], Spent]
"""Runs a job in its work folder, given what the jobs that it needs made, by name."""


def perform(job: Job, made: Mapping[str, Made], work: Path) -> Spent:
    """Run a job in this process."""
    started = time.monotonic() - _spent(work)
    set_threads(job.threads)
    _forget_peak()
    try:
        with progress.of_job(job.name):
            job.run(job.settings, **job.open(made), work=work)
    except BaseException:
        with suppress(OSError):
            (work / SPENT).write_text(str(time.monotonic() - started), encoding="ascii")
        raise
    return Spent(time.monotonic() - started, _peak_mb())


def execute(run: Run, job: Job, made: Mapping[str, Made], perform: Perform = perform) -> Made:
    """Run a job, and publish what it made, unless another process does both first.

    Args:
        made: what the jobs that it needs made, by name. perform: runs it.

    Raises:
        UserError, KeyboardInterrupt: as its function does; what it has done so far stays in its work folder.
        UserError: if another process works on it, and goes on with that.
    """
    try:
        with claims.held(run.claim_path(job.name), claims.PATIENCE):
            if done := run.status(job, made).made:
                return done
            work = run.work(job, made)
            spent = perform(job, made, work)
            return run.publish(job, made, work, spent.seconds, spent.peak_mb)
    except claims.HeldError as error:
        raise UserError(
            f"{run.root}: {job.name} is being made by {error.holder}", "one process at a time for a job",
            "wait for it or stop it",
        ) from None  # fmt: skip


def working(run: Run, statuses: Iterable[tuple[Job, Status]]) -> dict[str, str]:
    """Who works on which jobs that are not done, by name of the job: other processes, here or on other machines."""
    found = {job.name: claims.holder(run.claim_path(job.name)) for job, status in statuses if not status.made}
    return {name: holder for name, holder in found.items() if holder}


def _spent(work: Path) -> float:
    """The seconds that earlier, interrupted calls of a job took; those of a call that was killed are lost."""
    try:
        return max(0.0, float((work / SPENT).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0.0


def _peak_mb() -> int:
    """The peak memory of this process, MB, since it was last forgotten, or its start."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def _forget_peak() -> None:
    """Let the peak memory of this process be that of the next job alone, where the system can (proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def set_threads(count: int) -> None:
    """Give numerical libraries that many threads, in this process, from now on."""
    torch.set_num_threads(count)
    threadpool_limits(count)


def that_travels(error: Exception) -> Exception:
    """The error, or its text if another process could not read it: it would look like a killed worker there."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error

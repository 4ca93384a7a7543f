"""One job, from its needs to its record, in whichever process."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from sonosynth import progress
from sonosynth.jobs import Job, Made
from sonosynth.store import Run

SPENT = ".seconds"  # in the work folder of an interrupted job


def execute(run: Run, job: Job, made: Mapping[str, Made]) -> Made:
    """Run a job, and publish what it made.

    Args:
        made: what the jobs that it needs made, by name.

    Raises:
        UserError, KeyboardInterrupt: as its function does; what it has done so far stays in its work folder.
    """
    work = run.work(job, made)
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
    return run.publish(job, made, work, time.monotonic() - started)


def _spent(work: Path) -> float:
    """The seconds that earlier, interrupted calls of a job took; those of a call that was killed are lost."""
    try:
        return max(0.0, float((work / SPENT).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0.0


def _forget_peak() -> None:
    """Let the peak memory of this process be that of the next job alone, where the system can (proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def set_threads(count: int) -> None:
    """Give numerical libraries that many threads, in this process, from now on."""
    torch.set_num_threads(count)
    threadpool_limits(count)

"""One job, from its needs to its record, in whichever process."""

import time
from collections.abc import Mapping

import torch
from threadpoolctl import threadpool_limits

from sonosynth.jobs import Job, Made
from sonosynth.store import Run


def execute(run: Run, job: Job, made: Mapping[str, Made]) -> Made:
    """Run a job, and publish what it made.

    Args:
        made: what the jobs that it needs made, by name.

    Raises:
        UserError, KeyboardInterrupt: as its function does; what it has done so far stays in its work folder.
    """
    work = run.work(job, made)
    started = time.monotonic()
    set_threads(job.threads)
    job.run(job.settings, **job.open(made), work=work)
    return run.publish(job, made, work, time.monotonic() - started)


def set_threads(count: int) -> None:
    """Give numerical libraries that many threads, in this process, from now on."""
    torch.set_num_threads(count)
    threadpool_limits(count)

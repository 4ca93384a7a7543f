"""Which jobs start and finish, and what remains of the whole, as events."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from sonosynth import cost, progress
from sonosynth.cost import Cost
from sonosynth.jobs import Job, Made
from sonosynth.progress.events import JobFinished, JobStarted, Outcome, Overall

if TYPE_CHECKING:
    from sonosynth.runners.scheduling import Capacity


class Overview:
    """Reports what becomes of each job that starts, whatever happens; a context in which they run.

    Args:
        ordered: all jobs. made: what those that are done have made, by name; the caller adds to it. capacity: what they
            share.
    """

    def __init__(self, ordered: Sequence[Job], made: Mapping[str, Made], capacity: "Capacity") -> None:
        self.ordered, self.made, self.capacity = ordered, made, capacity
        self.kept = 0  # jobs that were done before
        self.began: dict[str, float] = {}
        self._known: dict[str, Cost] = {}
        self._seen = 0  # how many jobs `_known` comes from

    @property
    def known(self) -> dict[str, Cost]:
        """What each job is expected to cost, by name, from what is done so far."""
        if self._seen != len(self.made):
            self._known, self._seen = cost.expected(self.ordered, self.made), len(self.made)
        return self._known

    def asking(self, job: Job) -> Job:
        """The job, asking for the memory that those of its kind took."""
        return replace(job, memory=self.known[job.name].peak_mb) if job.name in self.known else job

    def start(self, job: Job, reason: str, where: str) -> None:
        """Report a job that starts, for what `reason` again, if it does, and on what machine, if there are several."""
        number = len(self.made) + len(self.began) + 1
        progress.emit(JobStarted(job.name, number, reason, self._overall(), where))
        self.began[job.name] = time.monotonic()

    @contextmanager
    def ending(self, job: Job) -> Iterator[None]:
        """Report the job whose result is taken here as done or, if there is an error instead, as failed."""
        try:
            yield
        except Exception:
            self._end(job.name, Outcome.FAILED)
            raise
        self._end(job.name, Outcome.DONE)

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for name in list(self.began):
            self._end(name, Outcome.STOPPED)
        if self.kept and kind is None:
            progress.say(f"{self.kept} of {len(self.ordered)} jobs were already done")

    def _end(self, name: str, outcome: Outcome) -> None:
        elapsed = time.monotonic() - self.began.pop(name)
        seconds = self.made[name].seconds if outcome is Outcome.DONE else elapsed
        progress.emit(JobFinished(name, outcome, round(seconds, 3), self._overall()))

    def _overall(self) -> Overall:
        left = cost.left(self.ordered, self.made, self.known, self.capacity.cores, self.capacity.machines)
        known = 2 * left.unknown < len(self.ordered)
        seconds = round(left.seconds, 3) if known else None
        return Overall(len(self.made), len(self.ordered), seconds, left.unknown)

"""What jobs cost: what finished ones took, and what that tells of those that are left."""

from collections import defaultdict
from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass

from sonosynth.jobs import Job, Made
from sonosynth.parallel import WORKERS


@dataclass(frozen=True)
class Effort:
    """How much a job does; settings of a job have it as `effort` where jobs of one function differ in that.

    kind: what is done; what is known of one kind says nothing of another. amount: how much of it, in any unit that all
    jobs of the kind share; the time is taken to be proportional to it.
    """

    kind: tuple[Hashable, ...] = ()
    amount: float = 1.0


@dataclass(frozen=True)
class Cost:
    """seconds: that a job takes. peak_mb: the peak memory of its process."""

    seconds: float
    peak_mb: int


@dataclass(frozen=True)
class Left:
    """What remains of a study: seconds on this machine, without `unknown` jobs, of which nobody knows yet what they
    cost; and the peak memory of all jobs of the study, finished or not, that run side by side."""

    seconds: float
    unknown: int
    peak_mb: int


def expected(ordered: Sequence[Job], seen: Mapping[str, Made]) -> dict[str, Cost]:
    """The cost of each job, by name: what it took or, before that, what those of its kind that were run suggest.

    Jobs of a kind have the same function, arguments and `Effort.kind`. Those of the same amount are asked first, then
    all, in proportion. A job of whose kind none was run is left out.

    Args:
        seen: what jobs made when they last ran with the settings that they have, by name.
    """
    totals: dict[tuple[Hashable, ...], list[float]] = defaultdict(lambda: [0.0, 0.0, float("inf")])
    for job in ordered:
        if job.name in seen:
            own, (kind, amount) = seen[job.name], _kind(job)
            for those in ((kind,), (kind, amount)):
                seconds, amounts, peak = totals[those]
                totals[those] = [seconds + own.seconds, amounts + amount, min(peak, own.peak_mb)]
    found = {}
    for job in ordered:
        kind, amount = _kind(job)
        if job.name in seen:
            found[job.name] = Cost(seen[job.name].seconds, seen[job.name].peak_mb)
        elif alike := totals.get((kind, amount)) or totals.get((kind,)):
            seconds, amounts, peak = alike
            found[job.name] = Cost(seconds / amounts * amount, int(peak))
    return found


def left(
    ordered: Sequence[Job], done: Container[str], known: Mapping[str, Cost], cores: int, machines: int = 1
) -> Left:
    """What remains of a study, as `load` has it, or the longest chain of jobs that wait for each other if that is more.

    Args:
        ordered: jobs, each after those it needs. done: the names of those that are. known: what they cost, as
            `expected`. machines: that share the work; memory is that of one.
    """
    shares = {job.name: share(job, cores) for job in ordered}
    rest = [job for job in ordered if job.name not in done]
    ends: dict[str, float] = {}
    for job in rest:
        began = max((ends.get(name, 0.0) for name in job.needed), default=0.0)
        ends[job.name] = began + (known[job.name].seconds if job.name in known else 0.0)
    work = load({job.name: known[job.name].seconds for job in rest if job.name in known}, shares)
    peaks = (known[name].peak_mb * int(1 / shares[name]) for name in known)
    seconds = max(work / machines, *ends.values()) if ends else 0.0
    return Left(seconds, sum(job.name not in known for job in rest), max(peaks, default=0))


def load(seconds: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """The seconds that jobs take together: each its own, times its share of the machine, if the rest is in use, too.

    Args:
        seconds, shares: by name; a job of unknown seconds counts nothing.
    """
    return sum(part * seconds.get(name, 0.0) for name, part in shares.items())


def share(job: Job, cores: int) -> float:
    """The share of the machine that a job takes while it runs; the GPU's user has it to itself."""
    return 1.0 if job.device != "cpu" else min(1.0, max(job.threads / cores, 1 / WORKERS))


def _kind(job: Job) -> tuple[tuple[Hashable, ...], float]:
    effort: Effort = getattr(job.settings, "effort", Effort())
    return (job.function, tuple(sorted(job.needs)), effort.kind), effort.amount

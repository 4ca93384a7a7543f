"""What limits a study on many nodes: its plan, scheduled as the runner does, with times that a run has measured."""

import argparse
import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path

from sonosynth import cost
from sonosynth import settings as loading
from sonosynth.jobs import Job
from sonosynth.parallel import cores
from sonosynth.run import Study, reopen
from sonosynth.runners.nodes import Node

MISSING = 1.0  # seconds of a job of a kind that the run has none of


def makespan(ordered: Sequence[Job], seconds: Mapping[str, float], nodes: int, size: int) -> tuple[float, float]:
    """When all jobs are done on so many nodes of `size` cores, and for how long fewer than half of the nodes worked."""
    places = [Node(str(i), str(i), size, 1.0, 0) for i in range(nodes)]
    there: dict[str, list[Job]] = {node.name: [] for node in places}
    ends: list[tuple[float, int, str]] = []
    named = {job.name: (i, job) for i, job in enumerate(ordered)}
    waiting, done, now, idle = list(ordered), set[str](), 0.0, 0.0
    while waiting or ends:
        for job in list(waiting):
            if not done.issuperset(job.needed):
                continue
            free = [node for node in places if node.fits(job, there[node.name])]
            if not free:
                break  # as `scheduling.run_jobs`: no overtaking
            best = max(free, key=lambda node: node.cores - sum(other.threads for other in there[node.name]))
            there[best.name].append(job)
            heapq.heappush(ends, (now + seconds[job.name], named[job.name][0], best.name))
            waiting.remove(job)
        end, number, name = heapq.heappop(ends)
        busy = sum(bool(jobs) for jobs in there.values())
        idle += (end - now) * (2 * busy < nodes)
        now = end
        there[name].remove(ordered[number])
        done.add(ordered[number].name)
    return now, idle


def chain(ordered: Sequence[Job], seconds: Mapping[str, float]) -> list[Job]:
    """The jobs that wait for each other for longest."""
    ends: dict[str, float] = {}
    last: dict[str, Job | None] = {}
    named = {job.name: job for job in ordered}
    for job in ordered:
        latest = max(job.needed, key=lambda name: ends[name], default="")
        last[job.name] = named.get(latest)
        ends[job.name] = seconds[job.name] + ends.get(latest, 0.0)
    found = [named[max(ends, key=lambda name: ends[name])]]
    while before := last[found[-1].name]:
        found.append(before)
    return found[::-1]


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="a finished run on the same cohort and kind of machine")
    parser.add_argument("--preset", default="sound")
    parser.add_argument("--config", nargs="*", default=[])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the study")
    parser.add_argument("--nodes", nargs="+", type=int, default=[1, 2, 10, 100])
    parser.add_argument("--overhead", type=float, default=0.05, help="seconds a job that the runner adds")
    arguments = parser.parse_args()
    seen = {job.name: status.made for job, status in reopen(arguments.run).statuses(arguments.run) if status.made}
    measured = [job for job, _ in reopen(arguments.run).statuses(arguments.run)]
    study = Study(arguments.cohort, loading.load(arguments.preset, arguments.config, arguments.set))
    ordered = [job for job, _ in study.statuses()]
    prefixed = {f"measured/{name}": made for name, made in seen.items()}
    renamed = [_named(job) for job in measured]
    known = cost.expected([*renamed, *ordered], prefixed)
    unknown = [job.name for job in ordered if job.name not in known]
    seconds = {
        job.name: arguments.overhead + (known[job.name].seconds if job.name in known else MISSING) for job in ordered
    }
    longest = chain(ordered, seconds)
    print(f"{len(ordered)} jobs, {sum(seconds.values()) / 60:.1f} min of jobs; of unknown time: {len(unknown)}")
    print(f"longest chain: {sum(seconds[job.name] for job in longest) / 60:.1f} min")
    for job in longest:
        print(f"  {seconds[job.name]:8.1f} s  {job.name}")
    print("| nodes | minutes | times as fast | efficiency | minutes with fewer than half of the nodes at work |")
    print("|---|---|---|---|---|")
    alone = makespan(ordered, seconds, 1, cores())[0]
    for nodes in arguments.nodes:
        whole, tail = makespan(ordered, seconds, nodes, cores())
        print(f"| {nodes} | {whole / 60:.1f} | {alone / whole:.1f} | {alone / whole / nodes:.2f} | {tail / 60:.1f} |")


def _named(job: Job) -> Job:
    """The job, under a name that no job of the other study has."""
    return Job(f"measured/{job.name}", job.run, job.settings, job.needs, job.makes, job.threads, job.device)


if __name__ == "__main__":
    main()

"""What a runner costs: jobs that do nothing, and jobs that wait, on 1 and 2 processes.

    python benchmarks/runners.py --out runners.csv [--runner local ray] [--processes 1 2] [--jobs 200] [--seconds 0 0.5]

Overhead is what a process spends on a job beyond the job's own time.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from sonosynth import progress
from sonosynth.jobs import Job, Made
from sonosynth.progress import Log
from sonosynth.progress.events import Event, JobFinished
from sonosynth.runners import local
from sonosynth.store import Run

VERSION = 1


@dataclass(frozen=True)
class Waiting:
    """seconds: that a job takes. number: tells jobs apart."""

    seconds: float
    number: int


def wait(settings: Waiting, *, work: Path) -> None:
    """Wait, and write a small file."""
    time.sleep(settings.seconds)
    (work / "file").write_text(str(settings.number), encoding="ascii")


def graph(count: int, seconds: float) -> list[Job]:
    """Jobs that need nothing."""
    return [Job(f"jobs/{i}", wait, Waiting(seconds, i), {}, {"file": f"files/{i}"}) for i in range(count)]


def run_jobs(runner: str) -> Callable[..., dict[str, Made]]:
    """What runs jobs; Ray's import takes seconds."""
    if runner == "local":
        return local.run_jobs
    from sonosynth.runners import ray  # noqa: PLC0415

    return ray.run_jobs


def measure(runner: str, count: int, seconds: float, processes: int) -> tuple[float, float]:
    """Seconds, and those of this process's CPU, that `count` jobs take once the processes have started."""
    marks: list[tuple[float, float]] = []

    def show(event: Event) -> None:
        if isinstance(event, JobFinished):
            usage = resource.getrusage(resource.RUSAGE_SELF)
            marks.append((time.monotonic(), usage.ru_utime + usage.ru_stime))

    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        before = progress.relay(show)
        with run.locked():
            run_jobs(runner)(run, graph(count + 4 * processes, seconds), processes)
        progress.relay(before)
    first, last = marks[len(marks) - count], marks[-1]  # during those before, processes started
    wall, cpu = ((after - then) * count / (count - 1) for then, after in zip(first, last, strict=True))
    return wall, cpu


def table(found: pd.DataFrame) -> str:
    """What was measured, as Markdown."""
    lines = [
        "| runner | processes | job, s | jobs a second | efficiency | overhead a job, ms | driver's CPU, ms |",
        "|---" * 7 + "|",
    ]
    for row in found.to_dict("records"):
        efficiency = f"{row['efficiency']:.3f}" if row["seconds"] else "–"
        cells = f"{row['processes']} | {row['seconds']:g} | {row['rate']:.1f} | {efficiency}"
        lines.append(f"| {row['runner']} | {cells} | {row['overhead_ms']:.0f} | {row['driver_ms']:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, store and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", nargs="+", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--jobs", type=int, default=200, help="of each kind")
    parser.add_argument("--seconds", nargs="+", type=float, default=[0.0, 0.5], help="that a job waits")
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    progress.relay(progress.view(Log.QUIET))
    rows: list[dict[str, object]] = []
    for runner, processes, seconds in product(o.runner, o.processes, o.seconds):
        wall, cpu = measure(runner, o.jobs, seconds, processes)
        ideal = o.jobs * seconds / processes
        rows.append({
            "runner": runner, "processes": processes, "seconds": seconds, "rate": o.jobs / wall,
            "efficiency": ideal / wall, "overhead_ms": 1e3 * (wall - ideal) * processes / o.jobs,
            "driver_ms": 1e3 * cpu / o.jobs,
        })  # fmt: skip
        pd.DataFrame(rows).to_csv(o.out, index=False, float_format="%.5f")
    print(table(pd.read_csv(o.out)))


if __name__ == "__main__":
    import runners  # jobs travel by the name of their function's module, which is no longer __main__ then

    runners.main()

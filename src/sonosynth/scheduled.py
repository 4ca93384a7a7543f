"""A study whose jobs another scheduler starts, each by a command of its own."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from sonosynth import cost, disk, looks, progress, store
from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError, first_line, inert
from sonosynth.jobs import Made, State
from sonosynth.run import Study
from sonosynth.runners import slurm
from sonosynth.runners.execution import execute
from sonosynth.study import COMMANDS, TABLES


def for_slurm(study: Study, root: Path) -> str:
    """Start or resume a study in the folder `root`; returns a script that submits the jobs that are left of it.

    Raises:
        UserError: as `Study.run`.
    """
    statuses = study.start(root)
    ordered = [job for job, _ in statuses]
    left = [job for job, status in statuses if not status.made]
    return slurm.script(root, left, cost.expected(ordered, {job.name: s.made for job, s in statuses if s.made}))


def run_job(study: Study, root: Path, name: str, threads: int | None = None) -> Made:
    """Run one job of a study that was started, whoever else works on others; returns what it made, now or before.

    Args:
        threads: that it was planned with; None: those of this machine. Rounding depends on them.

    Raises:
        UserError: if there is no such job, another process works on it, what it needs is not done, or results would be
            replaced without consent.
    """
    disk.refresh(root / store.RECORDS)
    run, statuses = store.Run(root), study.statuses(root, lambda job: job.name == name)
    if not statuses:
        every = [job.name for job, _ in study.statuses(root)]
        near = get_close_matches(name, every, 1)
        raise UserError(
            f"{root}: its study has no job {first_line(name)}" + (f"; did you mean {near[0]}?" if near else ""),
            f"one of those that sonosynth plan {root} lists",
        )
    job, status = statuses[-1]
    made = {other.name: s.made for other, s in statuses if s.made}
    if left := [other for other in job.needed if other not in made]:
        raise UserError(
            f"{name} needs {left[0]}, which is not done", "jobs that are run after those that they need",
            f"sonosynth run-job {root} {left[0]}",
        )  # fmt: skip
    if status.state is State.STALE and job.run not in COMMANDS["report"] and not _agreed(run):
        raise UserError(
            f"{root}: {name} is done, but {status.reason}", "settings, code and a machine as when it ran",
            f"to replace it: sonosynth run COHORT --out {root} … --change",
        )  # fmt: skip
    result = execute(run, replace(job, threads=threads or job.threads), made)
    if name == TABLES:
        looks.note(root, study.settings, list_files(study.path, study.settings.cohort).sources)
    if job.run in COMMANDS["report"]:
        print(inert(result.places["summary"].read_text(encoding="utf-8")), end="")
        progress.result(f"report: {root / 'report.html'}")
    return result


def _agreed(run: store.Run) -> bool:
    """Whether somebody agreed to what the run is being changed to."""
    return run.agreed == (run.root / store.STUDY).read_text(encoding="utf-8")

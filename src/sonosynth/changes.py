"""What a command would change in a run that has another cohort or other settings."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sonosynth import plain_yaml, progress, records, store
from sonosynth.cohort.reading import Files, contents
from sonosynth.cohort.settings import path_of
from sonosynth.errors import UserError, first_line
from sonosynth.jobs import Job, State, Status, keyed
from sonosynth.settings import ABOUT_A_RUN
from sonosynth.store import Run

ABSENT = object()
SHOWN = 12  # settings or jobs in one message, at most


def check_cohort(run: Run, job: str, files: Files) -> None:
    """Refuse a cohort other than the one that the run was made from, by contents, labels, groups and masks.

    Args:
        job: the one that read the cohort.
    """
    record = records.read(run.record_path(job))
    try:
        before = contents(record.inputs["settings"]["files"]) if record else None
    except (KeyError, TypeError, ValueError):  # of another version: stale in any case
        before = None
    if before is None:
        return
    now = contents(keyed(files))
    added, removed = (now - before).total(), (before - now).total()
    if added or removed:
        raise UserError(
            f"cohort {files.path}: is not the one that {run.root} was made from: images added:"
            f" {added}, removed: {removed} (an image whose label, group or mask changed counts as both)",
            "the same images, wherever they are",
            "give another --out for this cohort",
        )


@dataclass(frozen=True)
class Changes:
    """settings: those that differ, as "name: before -> now". certain: jobs that would run again, or for the first time.
    possible: jobs that might, since they wait for others.
    """

    settings: Sequence[str]
    certain: Sequence[str]
    possible: Sequence[str]

    def __str__(self) -> str:
        parts = (
            ("settings that differ:", self.settings),
            (f"jobs to run ({len(self.certain)}):", self.certain),
            (f"jobs that may have to run after them ({len(self.possible)}):", self.possible),
        )
        lines = []
        for title, items in parts:
            if items:
                more = [f"and {len(items) - SHOWN} more"] * (len(items) > SHOWN)
                lines += [title, *(f"  {item}" for item in [*items[:SHOWN], *more])]
        return "\n".join(lines)


def former(run: Run) -> dict[str, Any] | None:
    """The values in a run's study.yaml, None if it has none; raises UserError if they can't be read."""
    file = run.root / store.STUDY
    try:
        return plain_yaml.read(file) if file.exists() else None
    except UserError as error:
        fix = "restore it, or remove it and repeat the command that made the run"
        raise UserError(error.found, error.expected, fix) from None


def find(
    run: Run, before: Mapping[str, Any] | None, now: Mapping[str, Any], statuses: Sequence[tuple[Job, Status]],
    replaceable: Container[object],
) -> Changes | None:  # fmt: skip
    """What would change in a run with results; None if it just goes on.

    Args:
        before, now: study.yaml as it is, None if there is none, and as it will be. statuses: the jobs and their states.
            replaceable: functions of jobs whose results may be replaced at any time.
    """
    found = () if before is None else differing(before, now)
    others = [f"{one.name}: {' -> '.join(map(shown, one.values))}" for one in found]
    again = [job for job, status in statuses if status.state is State.STALE and job.run not in replaceable]
    if not run.recorded() or not (others or again):
        return None
    certain = [_named(job, status) for job, status in statuses if status.state in (State.STALE, State.MISSING)]
    possible = [job.name for job, status in statuses if status.state is State.WAITING]
    return Changes(others, certain, possible)


@dataclass(frozen=True)
class Difference:
    """A setting that differs: its dotted name, and its value in each study, `ABSENT` where it has none."""

    name: str
    values: tuple[Any, ...]


def differing(*studies: Any, name: str = "") -> Iterator[Difference]:
    """The settings in which the values of several study.yaml differ, in the order of the first."""
    if all(isinstance(study, Mapping) for study in studies):
        for part in dict.fromkeys(part for study in studies for part in study):
            if name or part not in ABOUT_A_RUN:
                values = (study.get(part, ABSENT) for study in studies)
                yield from differing(*values, name=f"{name}.{part}".lstrip("."))
    elif any(study != studies[0] for study in studies[1:]):
        yield Difference(name, studies)


def shown(value: Any) -> str:
    """The value of a setting in a message."""
    return "absent" if value is ABSENT else first_line(repr(value))


def _named(job: Job, status: Status) -> str:
    return f"{job.name} ({status.state}: {first_line(status.reason)})"


def may_replace(
    run: Run, text: str, ordered: Sequence[Job], redrawn: Container[object], ask: Callable[[str], bool] | None, *,
    change: bool,
) -> bool:  # fmt: skip
    """Whether results of a run may be replaced; raises UserError if some would be, and nobody agreed to that.

    Args:
        text: study.yaml, as it will be. redrawn: functions of jobs whose results may be in any case. ask, change: as in
            `run.Study.run`.
    """
    change = change or run.agreed == text
    before, now = former(run), plain_yaml.parse(text)
    was, here = (path_of((values or {}).get("cohort")) for values in (before, now))
    if before and was != here:
        progress.say(f"the cohort has moved: it was {was}, and is {here}")
    found = find(run, before, now, run.statuses(ordered), redrawn)
    if found is None:
        return change
    message = f"{run.root}: holds results, and this command differs from the one that made them\n{found}"
    if not change and not (ask and ask(message)):
        raise UserError(
            f"{run.root}: was not changed" if ask else message,
            "the settings, code, base and kind of machine that the results were made with",
            f"to change the run: sonosynth run COHORT --out {run.root} … --change; to keep it: give another --out;"
            f" to continue with its own settings, if nothing else differs: sonosynth report {run.root}",
        )
    progress.say(message)
    run.agreed = text  # so that the same command goes on after an interruption
    return True

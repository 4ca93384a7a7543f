"""The table of a run, and its plan, as text."""

import os
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sonosynth import cost, progress
from sonosynth.errors import inert
from sonosynth.jobs import Job, Made, Status
from sonosynth.leftovers import Leftover
from sonosynth.progress.words import duration, remaining
from sonosynth.report.headline import headline
from sonosynth.report.readers import Readers
from sonosynth.report.results import Results

WIDTH = 120  # cuts no table


def summary(results: Results) -> str:
    """The ablation table, what it was measured on, and the sentences that interpret it."""
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False)
    if results.classified:
        console.print(_of_arms("Ablation", results.columns, results.rows()))
    if found := results.segmented:
        console.print(_of_arms("Segmentation", found.columns, found.rows()))
        console.print(f"segmentation: {found.measured_on}", soft_wrap=True)
    for name, value in results.measured_on.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    before = (results.floor(), *results.caricatures(), *results.sentences())
    elsewhere = (said for test in results.tests for said in test.sentences())
    for sentence in (*before, *results.sealed_sentences(), *elsewhere, headline(results)):
        console.print(sentence, soft_wrap=True)
    return text.getvalue()


def _of_arms(title: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, str]]) -> Table:
    """A table with a row for each arm; columns: what heads each of their cells."""
    shown = Table(*(Column(x, no_wrap=name == "arm") for name, x in columns.items()), title=title)
    for row in rows:
        shown.add_row(*(row[name] for name in columns))
    return shown


def planned(statuses: Sequence[tuple[Job, Status]], cores: int, working: Mapping[str, str]) -> list[dict[str, Any]]:
    """The jobs as `sonosynth plan --json` prints them.

    seconds, peak_mb: what a job that is done took, and what one that isn't is expected to take; None: unknown. share:
    of the machine, so that jobs run side by side; the sum of seconds times shares is the time of a whole. running: the
    process that works on it now, and where.

    Args:
        working: those processes, by job.
    """
    known = cost.expected([job for job, _ in statuses], _seen(statuses))
    return [
        {
            "name": job.name, "run": job.function, "needs": dict(job.needs), "makes": dict(job.makes),
            "state": str(status.state), "reason": status.reason,
            "seconds": round(known[job.name].seconds, 2) if job.name in known else None,
            "peak_mb": known[job.name].peak_mb if job.name in known else None, "share": cost.share(job, cores),
            "running": working.get(job.name),
        }
        for job, status in statuses
    ]  # fmt: skip


def show_time_left(statuses: Sequence[tuple[Job, Status]], cores: int) -> None:
    """Report what remains of a study, as an event: stdout may be JSON."""
    ordered, done = [job for job, _ in statuses], {job.name for job, status in statuses if status.made}
    left = cost.left(ordered, done, cost.expected(ordered, _seen(statuses)), cores)
    memory = f"; up to {left.peak_mb / 1e3:.1f} GB of memory" if left.peak_mb else ""
    told = remaining(left.seconds, left.unknown) if len(done) < len(ordered) else "nothing left"
    progress.result(f"on this machine: {told}{memory}")


def _seen(statuses: Sequence[tuple[Job, Status]]) -> dict[str, Made]:
    return {job.name: made for job, status in statuses if (made := status.made or status.last)}


def show_plan(rows: Sequence[Mapping[str, Any]], left: Sequence[Leftover] = (), sealed: str = "") -> None:
    """Print the jobs of a study, the state of its `sealed` part, and what is left of earlier settings."""
    console = plain_console()
    others = (Column(title, overflow="fold") for title in ("needs", "makes", "state", "time", "memory"))
    shown = Table(Column("job", no_wrap=True), *others, title=f"{len(rows)} jobs")
    for row in rows:
        needs = [name for names in row["needs"].values() for name in ([names] if isinstance(names, str) else names)]
        state = f"{row['state']}: {row['reason']}" if row["reason"] else row["state"]
        state = f"running: {row['running']}" if row["running"] else state
        about = "" if row["state"] == "done" else "about "
        known = row["seconds"] is not None
        costs = (f"{about}{duration(row['seconds'])}", f"{row['peak_mb']} MB") if known else ("unknown",) * 2
        cells = (row["name"], _some(needs), _some(list(row["makes"].values())), state, *costs)
        shown.add_row(*map(plain_text, cells))
    console.print(shown)
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "missing", "stale", "waiting")}
    elapsed = sum(row["seconds"] for row in rows if row["state"] == "done")
    console.print(", ".join(f"{n} {state}" for state, n in counts.items() if n) + f"; {elapsed:.0f} s elapsed so far")
    if sealed:
        console.print(f"sealed part: {sealed}", soft_wrap=True, highlight=False)
    if left:
        console.print("no longer part of the study (sonosynth run … --change removes it):")
    for one in left:
        console.print(f"  {plain_text(one.name)}: {one.size / 1e3:,.0f} kB", highlight=False, soft_wrap=True)


def show_readers(found: Readers) -> None:
    """Print what the readers of one kit said."""
    console = plain_console()
    for columns, rows in ((found.columns, found.rows()), (found.source_columns, found.sources())):
        shown = Table(*(Column(title, overflow="fold") for title in columns.values()))
        for row in rows:
            shown.add_row(*(plain_text(row[name]) for name in columns))
        console.print(shown)
    for sentence in found.sentences():
        console.print(plain_text(sentence), soft_wrap=True, highlight=False)


def plain_text(text: str) -> str:
    """Text of others as rich prints it, and no terminal interprets it."""
    return escape(inert(text))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def plain_console() -> Console:
    """The terminal, or where there is none, a console wide enough for every table."""
    console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto")
    return console if console.is_terminal else Console(width=WIDTH)

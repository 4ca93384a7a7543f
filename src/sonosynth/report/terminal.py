"""The table of a run, and the description of a cohort, as text."""

import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sonosynth import cost, progress
from sonosynth.cohort.traits import COLOUR, Trait
from sonosynth.errors import inert
from sonosynth.jobs import Job, Made, Status
from sonosynth.leftovers import Leftover
from sonosynth.report import words
from sonosynth.report.results import Results
from sonosynth.report.traits import marked, warnings

WIDTH = 120  # cuts no table


def summary(results: Results) -> str:
    """The ablation table, what it was measured on, and the sentences that interpret it."""
    text = StringIO()
    console = Console(file=text, width=WIDTH, markup=False, emoji=False, highlight=False)
    shown = Table(*(Column(x, no_wrap=name == "arm") for name, x in results.columns.items()), title="Ablation")
    for row in results.rows():
        shown.add_row(*(row[name] for name in results.columns))
    console.print(shown)
    for name, value in results.measured_on.items():
        console.print(f"{name}: {value}", soft_wrap=True)
    before = (results.floor(), *results.caricatures(), *results.sentences())
    elsewhere = (said for test in results.tests for said in test.sentences())
    for sentence in (*before, *results.sealed_sentences(), *elsewhere, results.headline()):
        console.print(sentence, soft_wrap=True)
    return text.getvalue()


def show_cohort(description: Mapping[str, Any]) -> None:
    """Print what `sonosynth inspect` found."""
    console = plain_console()
    shown = Table("class", "images", "with mask", "mean lesion share", title=f"{description['images']} images")
    for label, count in description["classes"].items():
        share = description["lesion_share"].get(label)
        masks = str(description["masks"].get(label, 0))
        shown.add_row(_text(label), str(count), masks, "–" if share is None else f"{share:.1%}")
    console.print(shown)
    (w, width), (h, height) = description["width"], description["height"]
    console.print(f"sizes: {w} to {width} x {h} to {height} pixels; stored as {_listed(description['modes'])}")
    if description["groups"]:
        console.print(f"groups: {description['groups']}")
    twins = description["twins"]
    if twins:
        console.print(f"near-duplicates: {len(twins)} pairs (--json lists them)")
    for title, groups in (("exact copies", "exact_copies"), ("label conflicts of near-duplicates", "label_conflicts")):
        for ids in description[groups]:
            console.print(f"{title}: {_text(', '.join(ids))}", soft_wrap=True, highlight=False)
    for found in description["adjacent"]:
        if found["suspicious"]:
            console.print(_text(words.adjacent(found["label"])), soft_wrap=True, highlight=False)
    traits = tuple(map(Trait.of, description["marks"] + description["colour"]))
    told = [marked(trait) for trait in traits if trait.kind != COLOUR] + warnings(traits, filled=False)
    for sentence in told:
        console.print(_text(sentence), soft_wrap=True, highlight=False)
    for title, key in (("can't be used", "unusable"), ("ignored", "ignored")):
        for name, reason in description[key].items():
            console.print(f"{title}: {_text(name)} {_text(reason)}", soft_wrap=True, highlight=False)


def planned(statuses: Sequence[tuple[Job, Status]], cores: int) -> list[dict[str, Any]]:
    """The jobs as `sonosynth plan --json` prints them.

    seconds, peak_mb: what a job that is done took, and what one that isn't is expected to take; None: unknown. share:
    of the machine, so that jobs run side by side; the sum of seconds times shares is the time of a whole.
    """
    known = cost.expected([job for job, _ in statuses], _seen(statuses))
    return [
        {
            "name": job.name, "run": job.function, "needs": dict(job.needs), "makes": dict(job.makes),
            "state": str(status.state), "reason": status.reason,
            "seconds": round(known[job.name].seconds, 2) if job.name in known else None,
            "peak_mb": known[job.name].peak_mb if job.name in known else None, "share": cost.share(job, cores),
        }
        for job, status in statuses
    ]  # fmt: skip


def show_time_left(statuses: Sequence[tuple[Job, Status]], cores: int) -> None:
    """Print what remains of a study, on stderr: stdout may be JSON."""
    ordered, done = [job for job, _ in statuses], {job.name for job, status in statuses if status.made}
    left = cost.left(ordered, done, _seen(statuses), cores)
    memory = f"; up to {left.peak_mb / 1e3:.1f} GB of memory" if left.peak_mb else ""
    told = progress.remaining(left.seconds, left.unknown) if len(done) < len(ordered) else "nothing left"
    print(f"on this machine: {told}{memory}", file=sys.stderr)


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
        about = "" if row["state"] == "done" else "about "
        known = row["seconds"] is not None
        costs = (f"{about}{progress.duration(row['seconds'])}", f"{row['peak_mb']} MB") if known else ("unknown",) * 2
        cells = (row["name"], _some(needs), _some(list(row["makes"].values())), state, *costs)
        shown.add_row(*map(_text, cells))
    console.print(shown)
    counts = {state: sum(row["state"] == state for row in rows) for state in ("done", "missing", "stale", "waiting")}
    elapsed = sum(row["seconds"] for row in rows if row["state"] == "done")
    console.print(", ".join(f"{n} {state}" for state, n in counts.items() if n) + f"; {elapsed:.0f} s elapsed so far")
    if sealed:
        console.print(f"sealed part: {sealed}", soft_wrap=True, highlight=False)
    if left:
        console.print("no longer part of the study (sonosynth run … --change removes it):")
    for one in left:
        console.print(f"  {_text(one.name)}: {one.size / 1e3:,.0f} kB", highlight=False, soft_wrap=True)


def _text(text: str) -> str:
    return escape(inert(text))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def plain_console() -> Console:
    """The terminal, or where there is none, a console wide enough for every table."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())

"""The table of a run in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sonosynth.report.results import COLUMNS, Results


def show(results: Results) -> None:
    """Print the ablation table, what it was measured on, and the sentences that read it."""
    console = _console()
    shown = Table(*COLUMNS.values(), title="Ablation")
    for row in results.rows():
        shown.add_row(*(escape(row[name]) for name in COLUMNS))
    console.print(shown)
    for name, value in results.facts.items():
        console.print(f"{name}: {escape(value)}", highlight=False, soft_wrap=True)
    for sentence in (results.floor(), *results.sentences(), results.headline()):
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def show_cohort(description: Mapping[str, Any]) -> None:
    """Print what `sonosynth inspect` found."""
    console = _console()
    shown = Table("class", "images", "with mask", "mean lesion share", title=f"{description['images']} images")
    for label, count in description["classes"].items():
        share = description["lesion_share"].get(label)
        masks = str(description["masks"].get(label, 0))
        shown.add_row(escape(label), str(count), masks, "–" if share is None else f"{share:.1%}")
    console.print(shown)
    (w, width), (h, height) = description["width"], description["height"]
    console.print(f"sizes: {w} to {width} x {h} to {height} pixels; stored as {_listed(description['modes'])}")
    if description["groups"]:
        console.print(f"groups: {description['groups']}")
    twins = description["twins"]
    if twins:
        console.print(f"near-duplicates: {len(twins)} pairs (--json lists them)")
    for title, groups in (("exact copies", "exact_copies"), ("near-duplicates with several labels", "label_conflicts")):
        for ids in description[groups]:
            console.print(f"{title}: {escape(', '.join(ids))}", soft_wrap=True, highlight=False)
    for title, key in (("can't be used", "unusable"), ("ignored", "ignored")):
        for name, reason in description[key].items():
            console.print(f"{title}: {escape(name)} {escape(reason)}", soft_wrap=True, highlight=False)


def _console() -> Console:
    """The terminal, or a width that cuts no table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.items())

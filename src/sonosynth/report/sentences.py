"""Findings, and what a study needs for one, in words."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from sonosynth import cost
from sonosynth.evidence.judging import ENOUGH_BLOCKS, ENOUGH_OF_OTHERS, ENOUGH_RUNS, Finding
from sonosynth.evidence.settings import Compare
from sonosynth.progress.words import duration
from sonosynth.report.facts import Comparison, Facts, Refusal
from sonosynth.report.words import ON_COHORT, SCORES, comparator


def verdict(
    arm: str, rows: pd.DataFrame, comparison: Comparison, compare: Compare, reference: str, refusal: Refusal | None,
    where: str = ON_COHORT,
) -> str:  # fmt: skip
    """One sentence on an arm, or two.

    Args:
        rows: its contrasts by the score that decides, as in verdicts.csv; the first is that with `reference`. where:
            what findings hold on.
    """
    finding = Finding(rows["finding"].iloc[0])
    if finding is Finding.NOT_RUN:
        return f"{arm}: not run.{_stepped_over(arm, compare)}"
    if refusal:
        details = [f"{refusal.share:.0%}"] if refusal.share else []
        details += [f"{', '.join(labels)} in {made}" for made, labels in refusal.lost.items()]
        detail = f" ({'; '.join(details)})" if details else ""
        return f"{arm}: refused, because {refusal.fault}{detail}.{_stepped_over(arm, compare)}"
    if compare.transfer:
        where += f" and on others, if effects vary between data sets by {compare.transfer:g} (standard deviation)"
    contrasts = rows.to_dict("records")
    named = [comparator(str(row["against"]), reference, comparison.cheap) for row in contrasts]
    corrected = ", corrected for the number of arms" * (arm != compare.primary)
    p = f"(p = {rows['p_holm'].iloc[0]:.2g}{corrected})"
    match finding:
        case Finding.IMPROVES:
            said = f"a significant improvement {where} {p}"
        case Finding.HARMS:
            said = f"significantly worse than {named[0]} {where}"
        case Finding.NO_RELEVANT_DIFFERENCE:
            said = f"no relevant difference from {named[0]} {where} (it was shown to be below {compare.margin:g})"
        case Finding.NOT_ENOUGH_RUNS:
            said = "not enough runs for a verdict"
        case _:
            said = _no_evidence(contrasts, named, where, compare.primary) or f"no evidence of a difference {where} {p}"
    differences = _differences(contrasts, named, intervals=finding is not Finding.NOT_ENOUGH_RUNS)
    return f"{arm}: {SCORES[str(contrasts[0]['metric'])]} is {differences}: {said}." + _not_compared(comparison)


def _no_evidence(
    contrasts: Sequence[Mapping[Hashable, Any]], named: Sequence[str], where: str, primary: str | None
) -> str:  # fmt: skip
    """Why there is no evidence although the difference from the reference is clear; "" if it isn't."""
    clear = contrasts[0]["low"] > 0
    if clear and (others := [name for row, name in zip(contrasts, named, strict=True) if not row["low"] > 0]):
        shown = f"no advantage over {' or '.join(others)} was shown"
        return f"no evidence that its synthetic images help {where}, as {shown}"
    # A (Bonferroni) interval beyond 0 is more than Holm's method asks for: the order of the tests alone forbids it.
    if clear or contrasts[0]["high"] < 0:
        return f"no evidence {where}, as other arms are tested only if the primary arm ({primary}) improves or harms"
    return ""


def _stepped_over(arm: str, compare: Compare) -> str:
    """What becomes of the order of tests without the primary arm; neither a refusal nor a gap goes by the scores."""
    primary = " It is the primary arm (compare.primary): the others are tested as if none had been named."
    return primary * (arm == compare.primary)


def spread(differences: pd.Series, score: str) -> str:
    """How far the scores of several arms with synthetic images are from those of the reference."""
    ends = " to ".join(dict.fromkeys(f"{x:+.3f}" for x in (differences.min(), differences.max())))
    return f"With synthetic images, {score} differs by {ends} from that with real images alone."


def resolution(smallest: float, findings: Collection[str], score: str) -> str:
    """What differences by a score a study can show: see `judged.Judged.smallest`."""
    found = {Finding.IMPROVES, Finding.HARMS} & set(findings)
    return (
        f"With these images and runs, a difference of less than {smallest:.3f} in {score} from real images alone could"
        f" not have been significant{' on its own; once one arm is significant, smaller ones can be' if found else ''}."
    )


def _differences(contrasts: Sequence[Mapping[Hashable, Any]], named: Sequence[str], *, intervals: bool) -> str:
    """How much higher or lower an arm's score is than those of its comparators, which are `named`."""
    parts = []
    for place, (row, other) in enumerate(zip(contrasts, named, strict=True)):
        size = f"{abs(row['difference']):.3f}"
        part = "the same as" if float(size) == 0 else f"{size} {'higher' if row['difference'] > 0 else 'lower'} than"
        interval = f" ({'95% interval ' * (place == 0)}{row['low']:+.3f} to {row['high']:+.3f})"
        parts.append(f"{part} with {other}" + interval * intervals)
    return ", and ".join(parts)


def _not_compared(comparison: Comparison) -> str:
    """The contrasts that are left out."""
    if comparison.control:
        return ""
    absent = ["the same arm without its synthetic images"] * (comparison.without is None)
    absent += ["a simple baseline (compare.cheap)"] * (comparison.cheap is None)
    return f" It is not compared with {' or '.join(absent)}: none is declared." if absent else ""


def choice(arm: str, rows: pd.DataFrame) -> str:
    """How often an arm chose which of its candidates: its rows of choices.csv."""
    times = rows.groupby("candidate", sort=False)["chosen"].sum().sort_values(ascending=False, kind="stable")
    named = ", ".join(f"{name} {count}" for name, count in times.items())
    return (
        f"{arm} is the candidate with the best macro F1 on the inner images, chosen separately for every split and"
        f" generator ({int(times.sum())} choices: {named}), then retrained."
    )


def needed(facts: Facts, seconds: Mapping[str, float]) -> str:
    """What a study has to repeat for a verdict, and how long that would take here.

    Args:
        seconds: how long each job of this run took, by name.
    """
    block = cost.load(seconds, facts.repeated)
    folds = ENOUGH_BLOCKS + 1
    if facts.leave_out:
        return (
            f"A verdict needs at least {folds} values of {facts.leave_out}, each held out in turn; this cohort has"
            f" {facts.folds}. Without split.leave_out, {folds} grouped folds of all images (--set"
            f" repeats.folds={folds}) would take about {duration(folds * block)} on this machine."
        )
    return (
        f"A verdict needs at least {folds} grouped folds (--set repeats.folds={folds}): about"
        f" {duration(folds * block)} in all on this machine. Dividing the images into folds twice can detect smaller"
        f" differences (--set repeats.folds={folds} --set repeats.draws=2): about {duration(2 * folds * block)}. With a"
        f" single split, it takes {ENOUGH_RUNS} generators (repeats.generators) for arms with synthetic images,"
        f" {ENOUGH_RUNS} seeds for arms without, and {ENOUGH_OF_OTHERS} seeds for each arm that they are compared with."
    )

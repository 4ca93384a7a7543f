"""Findings, and what a study needs for one, in words."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import pandas as pd

from sonosynth import cost
from sonosynth.evidence.judging import ENOUGH_BLOCKS, ENOUGH_OF_OTHERS, ENOUGH_RUNS, Finding
from sonosynth.evidence.settings import Compare
from sonosynth.progress.words import duration
from sonosynth.report.facts import Comparison, Facts, Refusal
from sonosynth.report.words import ON_COHORT, SCORES


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
        share = f" ({refusal.share:.0%})" if refusal.share else ""
        return f"{arm}: refused, since {refusal.fault}{share}.{_stepped_over(arm, compare)}"
    if compare.transfer:
        here = "here" if where == ON_COHORT else where
        where = f"{here}, and in data sets whose effects differ by {compare.transfer:g} (standard deviation)"
    contrasts = rows.to_dict("records")
    names = " and ".join(str(row["against"]) for row in contrasts)
    not_beaten = " or ".join(str(row["against"]) for row in contrasts[1:] if not row["low"] > 0)
    phrase = {
        Finding.IMPROVES: f"improves on {names} {where}",
        Finding.HARMS: f"worse than {reference} {where}",
        Finding.NO_EVIDENCE: f"no evidence of a difference from {reference} {where}",
        Finding.NO_RELEVANT_DIFFERENCE: f"no relevant difference from {reference} {where} (below {compare.margin:g})",
        Finding.NOT_ENOUGH_RUNS: "not enough runs for a verdict",
    }[finding]
    if finding is Finding.NO_EVIDENCE and contrasts[0]["low"] > 0 and not_beaten:
        phrase = f"better than {reference} {where}, but no advantage over {not_beaten} was shown: no evidence"
    enough, score = finding is not Finding.NOT_ENOUGH_RUNS, SCORES[str(rows["metric"].iloc[0])]
    numbers = "; ".join(_difference(row, with_interval=enough) for row in contrasts)
    if enough:
        numbers += f"; p = {rows['p_holm'].iloc[0]:.2g} after Holm's correction"
    return f"{arm}: {phrase} ({score} {numbers})." + _not_compared(comparison)


def _stepped_over(arm: str, compare: Compare) -> str:
    """What becomes of the order of tests without the primary arm; neither a refusal nor a gap goes by the scores."""
    primary = " It is the primary arm (compare.primary): the others are tested as if none had been named."
    return primary * (arm == compare.primary)


def resolution(smallest: float, findings: Collection[str], score: str) -> str:
    """What differences by a score a study can show: see `judged.Judged.smallest`."""
    found = {Finding.IMPROVES, Finding.HARMS} & set(findings)
    return (
        f"With these images and runs, no {score} difference below {smallest:.3f} from real images could have been"
        f" significant{' on its own; once one arm is significant, smaller ones can be' if found else ''}."
    )


def _difference(row: Mapping[Hashable, Any], *, with_interval: bool) -> str:
    shown = f"{row['difference']:+.3f} against {row['against']}"
    return shown + f", 95% interval {row['low']:+.3f} to {row['high']:+.3f}" * with_interval


def _not_compared(comparison: Comparison) -> str:
    """The contrasts that are left out."""
    if comparison.control:
        return ""
    absent = ["the same arm without its sets"] * (comparison.without is None)
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
        f" {duration(folds * block)} in all on this machine. Two draws of them can show smaller differences (--set"
        f" repeats.folds={folds} --set repeats.draws=2): about {duration(2 * folds * block)}. On one split it takes"
        f" {ENOUGH_RUNS} generators (repeats.generators), {ENOUGH_RUNS} seeds for an arm without one, and"
        f" {ENOUGH_OF_OTHERS} seeds for each of its comparators."
    )

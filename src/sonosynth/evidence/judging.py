"""What may be said of an arm, from predictions alone: the familywise error rate is held over all arms together."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from sonosynth.evidence.blocks import Design, arranged, scored
from sonosynth.evidence.contrasts import TEST, Pool, Tested, estimate
from sonosynth.evidence.scores import DECISIVE, PRIMARY, Score
from sonosynth.evidence.tests import holm

ALPHA = 0.05
ENOUGH_BLOCKS, BLOCKS_TO_RULE_OUT = 4, 7
"""Degrees of freedom over blocks below which nothing is found; blocks below which an effect is not ruled out."""
ENOUGH_RUNS, ENOUGH_OF_OTHERS = 5, 3
"""Runs on one split, of an arm and of what it is compared with, below which nothing is found: with one or two runs of
`real`, 8% of simulated studies without any effect found one, with three 1%."""
COLUMNS = ["arm", "against", "metric", "difference", "low", "high", "test", "p", "p_holm", "finding"]


class Finding(StrEnum):
    """What may be said of an arm."""

    IMPROVES = "improves"
    HARMS = "harms"
    NO_EVIDENCE = "no evidence"
    NO_RELEVANT_DIFFERENCE = "no relevant difference"
    NOT_ENOUGH_RUNS = "not enough runs"
    REFUSED = "refused"
    NOT_RUN = "not run"


def judge(  # noqa: PLR0913 (each is a choice that a study states)
    predictions: pd.DataFrame, *, reference: str = "real", groups: Mapping[str, str] | None = None,
    against: Mapping[str, Sequence[str]] | None = None, primary: str | None = None, margin: float = 0.02,
    transfer: float = 0.0, score: str = PRIMARY.name, families: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """The contrasts of all arms with `reference` and with the arms of `against`, and what may be said of each arm.

    An arm *improves* if it is significantly better than all that it is compared with, *harms* if it is significantly
    worse than `reference`; the familywise error rate of these findings is meant to be at most 5%. There is *no relevant
    difference* if, with at least `BLOCKS_TO_RULE_OUT` blocks, two one-sided tests show that the difference from
    `reference` is smaller than `margin`, in units of the score; they are corrected for the number of arms, too (Holm).
    With too few blocks or runs, nothing is said.

    Args:
        predictions: the columns arm, draw, split, generator, seed, id, and label and `p_<class>`…, or dice. A draw is
            one assignment of images to folds, `split` the fold within it; `generator` is empty or constant for an arm
            without one. A draw in which an arm lacks a fold is left out, for all arms.
        groups: group of an image by its id; images without one stand alone.
        reference: the arm that all others are compared with.
        against: further arms that an arm must beat.
        primary: the arm named beforehand: the others are tested only if it improves or harms. One with too few runs
            counts as if none had been named.
        margin: differences from the reference below this are not relevant.
        transfer: standard deviation of the effect between data sets; its square is added to the variance.
        score: what arms are judged by, one of `scores.DECISIVE`; larger is better.
        families: how many scores the same arms are judged by, each by a call of its own. The error rate is held over
            all of them together: p values are corrected for their number (Bonferroni), too.

    Returns:
        One row for each arm and contrast: `COLUMNS`. `p_holm` and the finding are the arm's. low and high are 95%
        intervals, adjusted over the arms by Bonferroni, so that one may include 0 where Holm's test is significant.

    Raises:
        ValueError: if an arm that is named is not there, or the predictions don't fit together: see `blocks.arranged`.
    """
    design = arranged(predictions, groups or {})
    arms = [arm for arm in design.runs if arm != reference]
    pairs = {arm: [reference, *(other for other in (against or {}).get(arm, ()) if other != reference)] for arm in arms}
    named = {reference, *([primary] if primary else []), *(other for others in pairs.values() for other in others)}
    if missing := named - set(design.runs):
        raise ValueError(f"no predictions of {', '.join(sorted(missing))}")
    if primary and not enough(design, primary, pairs[primary]):
        primary = None  # the number of runs does not depend on scores
    tested = compared(design, pairs, DECISIVE[score], transfer)
    verdicts = _findings(arms, tested, primary, families)
    beyond = dict(zip(arms, families * holm([tested[arm][0].p_beyond(margin) for arm in arms]), strict=True))
    rows = []
    for arm in arms:
        p_holm, finding = verdicts[arm]
        if not enough(design, arm, pairs[arm]):
            finding = Finding.NOT_ENOUGH_RUNS
        elif finding is Finding.NO_EVIDENCE and design.blocks >= BLOCKS_TO_RULE_OUT and beyond[arm] < ALPHA:
            finding = Finding.NO_RELEVANT_DIFFERENCE
        family = 1 if arm == primary else max(len(arms) - (primary is not None), 1)
        for other, found in zip(pairs[arm], tested[arm], strict=True):
            reach = found.reach(ALPHA / 2 / family / families)
            low, high = found.value - reach, found.value + reach
            rows.append((arm, other, score, found.value, low, high, TEST, found.p, p_holm, str(finding)))
    return pd.DataFrame(rows, columns=COLUMNS)


def enough(design: Design, arm: str, others: Sequence[str]) -> bool:
    """Whether a study is large enough to say anything of an arm."""
    if design.one_split:
        return design.units(arm) >= ENOUGH_RUNS and all(design.units(x) >= ENOUGH_OF_OTHERS for x in others)
    return design.blocks - len(design.folds) >= ENOUGH_BLOCKS


def compared(
    design: Design, pairs: Mapping[str, Sequence[str]], score: Score, transfer: float = 0.0
) -> dict[str, list[Tested]]:
    """The differences of arms from all those in `pairs`.

    The scatter is pooled over the arms' first contrasts: over those with several generators, for one of these.
    """
    known = {arm: scored(design, arm, score) for arm in {*pairs, *(x for others in pairs.values() for x in others)}}
    estimates = {arm: [estimate(design, known[arm], known[x]) for x in others] for arm, others in pairs.items()}
    tested = {}
    for arm, found in estimates.items():
        alike = [x for x in pairs if design.generators[x] > 1 or design.generators[arm] == 1]
        pool = Pool.of(estimates[x][0] for x in alike)
        tested[arm] = [x.tested(pool, transfer) for x in found]
    return tested


def _findings(
    arms: Sequence[str], tested: Mapping[str, Sequence[Tested]], primary: str | None, families: int
) -> dict[str, tuple[float, Finding]]:
    """p after Holm's correction and finding of each arm, whatever the number of runs."""
    largest = {arm: max(found.p for found in tested[arm]) for arm in arms}
    first = {arm: tested[arm][0].p for arm in arms}
    found: dict[str, tuple[float, Finding]] = {}

    def decide(these: Sequence[str], *, closed: bool = False) -> None:
        beats, differs = (np.minimum(families * holm([p[arm] for arm in these]), 1) for p in (largest, first))
        for arm, p_holm, p_first in zip(these, beats, differs, strict=True):
            better = all(contrast.value > 0 for contrast in tested[arm])
            finding = Finding.NO_EVIDENCE
            if not closed and better and p_holm < ALPHA:
                finding = Finding.IMPROVES
            elif not closed and tested[arm][0].value < 0 and p_first < ALPHA:
                finding = Finding.HARMS
            found[arm] = (1.0 if closed else float(p_holm), finding)

    if primary is None:
        decide(arms)
    else:
        decide([primary])
        decide([arm for arm in arms if arm != primary], closed=found[primary][1] is Finding.NO_EVIDENCE)
    return found

"""What may be said of an arm, from predictions alone: a t test whose variance counts every source of chance.

Images (by group), classifier seeds, generators, folds and draws all vary. A bootstrap over images, or a t test over
folds as they are, counts some of these only, and finds an effect too often where there is none. Here the variance of a
difference is that of its linearised score over groups of images, enlarged by the ratio of the scatter between blocks to
what images alone would cause; the ratio is pooled over the arms, so that a few blocks suffice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from scipy import stats

from sonosynth.evidence.blocks import Arm, Design, scored
from sonosynth.evidence.influences import SCORES
from sonosynth.evidence.tests import holm

ALPHA = 0.05
TEST = "guarded t"
ENOUGH_BLOCKS, ENOUGH_RUNS, BLOCKS_TO_RULE_OUT = 4, 5, 7
"""Degrees of freedom over blocks, and runs on one split, below which nothing is found; and blocks below which an effect
is not ruled out."""
COLUMNS = ["arm", "against", "metric", "difference", "low", "high", "test", "p", "p_holm", "finding"]


class Finding(StrEnum):
    """What may be said of an arm."""

    IMPROVES = "improves"
    HARMS = "harms"
    NO_EVIDENCE = "no evidence"
    NO_RELEVANT_DIFFERENCE = "no relevant difference"
    NOT_ENOUGH_RUNS = "not enough runs"


@dataclass(frozen=True)
class _Contrast:
    """A difference, and the parts of its variance.

    images: of groups of images, its mean over draws; within, between: what images alone would cause between blocks or
    runs, and the scatter between these. freedom: degrees of freedom of `between`.
    """

    difference: float
    images: float
    within: float
    between: float
    freedom: int

    def test(self, ratio: float, pooled: int, transfer: float) -> tuple[float, float, float]:
        """p, standard error and degrees of freedom, given the `ratio` of scatter pooled over `pooled` arms."""
        freedom = self.freedom * pooled / (1 + (pooled - 1) / 4)
        if not (self.within > 0 and freedom > 0):
            return 1.0, float("nan"), 1.0
        ratio = max(self.between / self.within, ratio)
        error = np.sqrt(max(self.images, self.images + (ratio - 1) * self.within) + transfer**2)
        return float(2 * stats.t.sf(abs(self.difference) / error, freedom)), float(error), freedom


def _contrast(design: Design, arm: Arm, other: Arm) -> _Contrast:
    difference, g = arm.score - other.score, len(np.unique(design.groups))
    spread = g / max(g - 1, 1)
    if design.one_split:
        within = between = 0.0
        for scores, influence in (arm.runs, other.runs):
            s, sums = len(scores), design.by_group(influence)
            if s > 1:
                between += float(scores.var(ddof=1)) / s
                within += float(((sums - sums.mean(axis=0)) ** 2).sum()) / (s * (s - 1))
        sums = design.by_group(arm.draws - other.draws)
        return _Contrast(difference, spread * float((sums**2).sum()), within, between, len(arm.runs[0]) - 1)
    influence = arm.draws - other.draws
    draws, sums = len(influence), design.by_group(influence)
    between = 0.0
    for row, folds in zip(influence, design.folds, strict=True):
        names = np.unique(folds[folds >= 0])
        of_fold = np.array([row[folds == name].sum() for name in names])
        between += len(names) / max(len(names) - 1, 1) * float((of_fold**2).sum()) / draws**2
    images = spread * float((sums.mean(axis=0) ** 2).sum())
    return _Contrast(difference, images, float((sums**2).sum()) / draws**2, between, design.blocks - draws)


def judge(
    predictions: pd.DataFrame, *, reference: str = "real", groups: Mapping[str, str] | None = None,
    against: Mapping[str, Sequence[str]] | None = None, primary: str | None = None, margin: float = 0.02,
    transfer: float = 0.0, score: str = "f1",
) -> pd.DataFrame:  # fmt: skip
    """The contrasts of all arms with `reference` and with the arms of `against`, and what may be said of each arm.

    An arm *improves* if it is significantly better than all that it is compared with, *harms* if it is significantly
    worse than `reference`; the familywise error rate of these findings is meant to be at most 5%. There is *no relevant
    difference* if, with at least `BLOCKS_TO_RULE_OUT` blocks, the 90% interval of the difference from `reference` lies
    within `margin`, in units of the score. With too few blocks or runs, nothing is said.

    Args:
        predictions: the columns arm, draw, split, generator, seed, id, label and p_<class>. A draw is one assignment of
            images to folds, `split` the fold within it; `generator` is empty or constant for an arm without one. A draw
            in which an arm lacks a fold is left out, for all arms.
        groups: group of an image by its id; images without one stand alone.
        against: further arms that an arm must beat. primary: the arm named beforehand: the others are tested only if
            it improves or harms.
        transfer: standard deviation of the effect between data sets; its square is added to the variance.
        score: what arms are judged by, one of `influences.SCORES`.

    Returns:
        One row for each arm and contrast: `COLUMNS`. `p_holm` and the finding are the arm's. low and high are 95%
        intervals, adjusted over the arms by Bonferroni, so that one may include 0 where Holm's test is significant.

    Raises:
        ValueError: if an arm that is named is not there, or no draw is complete.
    """
    arms = [arm for arm in dict.fromkeys(predictions["arm"]) if arm != reference]
    pairs = {arm: [reference, *(other for other in (against or {}).get(arm, ()) if other != reference)] for arm in arms}
    named = {reference, *([primary] if primary else []), *(other for others in pairs.values() for other in others)}
    if missing := named - set(predictions["arm"]):
        raise ValueError(f"no predictions of {', '.join(sorted(missing))}")
    design, known = scored(predictions, groups or {}, SCORES[score])
    contrasts = {arm: [_contrast(design, known[arm], known[other]) for other in pairs[arm]] for arm in arms}
    tested = {}
    for arm in arms:
        pool = [
            contrasts[other][0]
            for other in arms
            if known[other].several_generators or not known[arm].several_generators
        ]
        within = sum(c.within for c in pool)
        ratio = sum(c.between for c in pool) / within if within > 0 else 0.0
        tested[arm] = [contrast.test(ratio, len(pool), transfer) for contrast in contrasts[arm]]
    verdicts = _findings(arms, contrasts, tested, primary)
    enough = ENOUGH_RUNS if design.one_split else ENOUGH_BLOCKS
    rows = []
    for arm in arms:
        p_holm, finding = verdicts[arm]
        first, (_, error, freedom) = contrasts[arm][0], tested[arm][0]
        if (first.freedom + 1 if design.one_split else first.freedom) < enough:
            finding = Finding.NOT_ENOUGH_RUNS
        elif (
            finding is Finding.NO_EVIDENCE
            and design.blocks >= BLOCKS_TO_RULE_OUT
            and abs(first.difference) + stats.t.ppf(0.95, freedom) * error < margin
        ):
            finding = Finding.NO_RELEVANT_DIFFERENCE
        family = 1 if arm == primary else max(len(arms) - (primary is not None), 1)
        for other, contrast, (p, error, freedom) in zip(pairs[arm], contrasts[arm], tested[arm], strict=True):
            reach = stats.t.ppf(1 - ALPHA / 2 / family, freedom) * error
            low, high = contrast.difference - reach, contrast.difference + reach
            rows.append((arm, other, score, contrast.difference, low, high, TEST, p, p_holm, str(finding)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _findings(
    arms: Sequence[str], contrasts: Mapping[str, Sequence[_Contrast]],
    tested: Mapping[str, Sequence[tuple[float, float, float]]], primary: str | None,
) -> dict[str, tuple[float, Finding]]:  # fmt: skip
    """p after Holm's correction and finding of each arm, whatever the number of runs."""
    largest = {arm: max(p for p, _, _ in tested[arm]) for arm in arms}
    first = {arm: tested[arm][0][0] for arm in arms}
    found: dict[str, tuple[float, Finding]] = {}

    def decide(these: Sequence[str], *, closed: bool = False) -> None:
        beats, differs = (holm([p[arm] for arm in these]) for p in (largest, first))
        for arm, p_holm, p_first in zip(these, beats, differs, strict=True):
            better = all(contrast.difference > 0 for contrast in contrasts[arm])
            finding = Finding.NO_EVIDENCE
            if not closed and better and p_holm < ALPHA:
                finding = Finding.IMPROVES
            elif not closed and contrasts[arm][0].difference < 0 and p_first < ALPHA:
                finding = Finding.HARMS
            found[arm] = (1.0 if closed else float(p_holm), finding)

    if primary is None:
        decide(arms)
    else:
        decide([primary])
        decide([arm for arm in arms if arm != primary], closed=found[primary][1] is Finding.NO_EVIDENCE)
    return found

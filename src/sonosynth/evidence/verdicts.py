"""What the evidence allows to say of each arm."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from sonosynth.evidence.contrasts import PRIMARY
from sonosynth.evidence.scores import Scored

ALPHA = 0.05


class Finding(StrEnum):
    """What may be said of an arm."""

    IMPROVES = "improves"
    HARMS = "harms"
    NO_EVIDENCE = "no evidence of a difference"
    REFUSED = "refused"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Refusal:
    """Why an arm's scores must not be believed: its generator has seen the scored images, or its images are copies.

    leaks: the former. copied: share of its images that copy a training image.
    """

    leaks: bool = False
    copied: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The finding of an arm, and the numbers behind it: NaN for an arm that was not run.

    low and high are NaN, too, where the difference has no interval.
    """

    arm: str
    finding: Finding
    difference: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p_holm: float = float("nan")
    refusal: Refusal | None = None


def verdicts(
    contrasts: pd.DataFrame, scored: Mapping[str, Scored | None], reference: str, refusals: Mapping[str, Refusal]
) -> list[Verdict]:
    """One verdict for every arm but the reference, by macro F1.

    Args:
        contrasts: from `contrasts.differences`. scored: arm to its scores, None if it did not run.
    """
    found = []
    for arm, scores in scored.items():
        if arm == reference:
            continue
        if scores is None:
            found.append(Verdict(arm, Finding.NOT_RUN))
            continue
        primary = (contrasts["metric"] == PRIMARY.name) & (contrasts["class"] == PRIMARY.of)
        own = contrasts[primary & (contrasts["arm"] == arm)].iloc[-1]
        if arm in refusals:
            finding = Finding.REFUSED
        elif own["p_holm"] >= ALPHA:
            finding = Finding.NO_EVIDENCE
        else:
            finding = Finding.IMPROVES if own["difference"] > 0 else Finding.HARMS
        numbers = {name: float(own[name]) for name in ("difference", "low", "high", "p_holm")}
        found.append(Verdict(arm, finding, **numbers, refusal=refusals.get(arm)))
    return found


def smallest_visible(n_validation: int, comparisons: int) -> int:
    """The fewest images that an arm has to win, losing none, for McNemar's exact p to pass Holm's first hurdle.

    2 (1/2)^n < 0.05 / comparisons. No smaller difference in accuracy can be significant, however many were tried.
    """
    wins = 1
    while 2 * 0.5**wins >= ALPHA / max(comparisons, 1):
        wins += 1
    return min(wins, n_validation)

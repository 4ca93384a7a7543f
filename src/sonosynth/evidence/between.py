"""Two runs on the same images: the differences between their arms of one name, block by block.

Which runs are compared is chosen after their results are known, so whatever is found here is exploratory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from sonosynth.evidence.blocks import arranged
from sonosynth.evidence.contrasts import Tested
from sonosynth.evidence.judging import ALPHA, compared, enough
from sonosynth.evidence.scores import DECISIVE, PRIMARY
from sonosynth.evidence.tests import holm

KEYS = ["draw", "split", "generator", "seed", "id"]
COLUMNS = ["arm", "difference", "low", "high", "p", "p_holm", "finding"]


class Outcome(StrEnum):
    """What may be said of an arm's score in one run beside that in another."""

    HIGHER = "higher"
    LOWER = "lower"
    NO_EVIDENCE = "no evidence"
    NOT_ENOUGH_RUNS = "not enough runs"
    IDENTICAL = "identical predictions"


@dataclass(frozen=True)
class Contrast:
    """An arm in the second run minus that in the first. tested: None if their predictions are the same, row by row.

    enough: whether the runs are large enough to say anything of it.
    """

    arm: str
    tested: Tested | None
    enough: bool


def common_draws(first: pd.DataFrame, second: pd.DataFrame) -> list[int]:
    """The draws in which two runs score the same images in the same folds.

    Args:
        first, second: the columns draw, split and id; an id is one image in both.
    """
    one, other = _folds(first), _folds(second)
    return [draw for draw, folds in one.items() if other.get(draw) == folds]


def _folds(predictions: pd.DataFrame) -> dict[int, dict[int, set[str]]]:
    """The images of each fold of each draw."""
    found: dict[int, dict[int, set[str]]] = {}
    for draw, split, image in zip(*(predictions[name] for name in ("draw", "split", "id")), strict=True):
        found.setdefault(draw, {}).setdefault(split, set()).add(image)
    return found


def contrasts(
    first: pd.DataFrame, second: pd.DataFrame, arms: Sequence[str], groups: Mapping[str, str], transfer: float = 0.0
) -> list[Contrast]:  # fmt: skip
    """The differences in macro F1, the second run minus the first, in the draws that they have in common.

    The test is that between two arms of one run: images are paired, and scatter between blocks is that of the paired
    difference (`contrasts.estimate`), pooled over the arms that differ.

    Args:
        first, second: predictions as `judging.judge` takes them; an id is one image in both. arms: those to compare,
            which both have. groups, transfer: as there.

    Raises:
        ValueError: as `blocks.arranged`; if no draw is common, or none of these is complete.
    """
    if not (draws := common_draws(first, second)):
        raise ValueError("the runs have no draw of folds in common")
    sides = [rows[rows["draw"].isin(draws) & rows["arm"].isin(arms)] for rows in (first, second)]
    differ = [arm for arm in arms if not _same(*(rows[rows["arm"] == arm] for rows in sides))]
    tested: dict[str, list[Tested]] = {}
    sufficient: dict[str, bool] = {}
    if differ:
        both = pd.concat([rows.assign(arm=f"{n} " + rows["arm"]) for n, rows in enumerate(sides)], ignore_index=True)
        design = arranged(both[both["arm"].str[2:].isin(differ)], groups)
        pairs = {f"1 {arm}": [f"0 {arm}"] for arm in differ}
        tested = compared(design, pairs, DECISIVE[PRIMARY.name], transfer)
        sufficient = {arm: enough(design, arm, others) for arm, others in pairs.items()}
    return [
        Contrast(arm, tested[f"1 {arm}"][0], sufficient[f"1 {arm}"]) if arm in differ else Contrast(arm, None, True)
        for arm in arms
    ]


def _same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    one, other = (rows.sort_values(KEYS).reset_index(drop=True) for rows in (first, second))
    return one.equals(other[list(one.columns)])


def outcomes(found: Sequence[Contrast]) -> pd.DataFrame:
    """What may be said of each contrast: `COLUMNS`, one row for each, in their order.

    All that are tested are one family: p_holm is Holm's, low and high are 95% intervals adjusted by Bonferroni. Arms
    with the same predictions are no tests.
    """
    tested = [one.tested for one in found if one.tested]
    adjusted = iter(holm([one.p for one in tested]))
    rows: list[tuple[object, ...]] = []
    for one in found:
        if one.tested is None:
            rows.append((one.arm, 0.0, None, None, None, None, str(Outcome.IDENTICAL)))
            continue
        value, p_holm, reach = one.tested.value, float(next(adjusted)), one.tested.reach(ALPHA / 2 / len(tested))
        outcome = Outcome.NO_EVIDENCE
        if not one.enough:
            outcome = Outcome.NOT_ENOUGH_RUNS
        elif p_holm < ALPHA:
            outcome = Outcome.HIGHER if value > 0 else Outcome.LOWER
        rows.append((one.arm, value, value - reach, value + reach, one.tested.p, p_holm, str(outcome)))
    return pd.DataFrame(rows, columns=COLUMNS)

"""The answer of a study as a picture: each arm's difference from what it has to beat, with its finding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.ticker import MaxNLocator

from sonosynth.evidence.judging import Finding
from sonosynth.report import words
from sonosynth.report.declared import Declared
from sonosynth.report.facts import Facts
from sonosynth.report.judged import Judged
from sonosynth.report.symbols import SYMBOLS, Symbol

WITH, WITHOUT, CONTROLS = "With synthetic images", "Without synthetic images", "Controls"


@dataclass(frozen=True)
class Contrast:
    """A difference, in the score that decides, from a comparator, in words; low, high: NaN where the study is too small
    for them.
    """

    against: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """An arm: its part in the study and what it is trained on, in words, and its contrasts; none if it was refused or
    not run.
    """

    arm: str
    role: str
    line: str
    finding: Finding
    contrasts: tuple[Contrast, ...]

    @property
    def symbol(self) -> Symbol:
        """How its finding is marked."""
        return SYMBOLS[self.finding]


@dataclass(frozen=True)
class Answer:
    """score: that decides, in words; metric: as tables call it. groups: rows, by title. margin: differences below it
    are not relevant.
    """

    score: str
    metric: str
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    margin: float

    @property
    def findings(self) -> list[Finding]:
        """Those that there are, each once."""
        return list(dict.fromkeys(row.finding for _, rows in self.groups for row in rows))

    @cached_property
    def ticks(self) -> list[float]:
        """Places of the axis, the first and the last at its ends."""
        found = [self.margin, -self.margin]
        for row in (row for _, rows in self.groups for row in rows):
            found += [x for one in row.contrasts for x in (one.difference, one.low, one.high) if math.isfinite(x)]
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(min(found), max(found))
        return [round(float(tick), 6) + 0.0 for tick in ticks]

    def place(self, value: float) -> float:
        """The place of a difference on the axis, per cent of its width."""
        first, last = self.ticks[0], self.ticks[-1]
        return 100 * (value - first) / (last - first)


def answer(judged: Judged, declared: Declared, facts: Facts, margin: float) -> Answer:
    """The arms with synthetic images first, then those without, then controls, each in the declared order."""
    rows = [
        _row(declared, facts, str(arm), own.to_dict("records"))
        for arm, own in judged.decisive.groupby("arm", sort=False)
    ]
    groups: dict[str, list[Row]] = {WITH: [], WITHOUT: [], CONTROLS: []}
    for row in rows:
        title = CONTROLS if row.arm in judged.controls else WITH if judged.synthetic(row.arm) else WITHOUT
        groups[title].append(row)
    return Answer(
        judged.score, judged.metric, tuple((title, tuple(own)) for title, own in groups.items() if own), margin
    )


def _row(declared: Declared, facts: Facts, arm: str, rows: Sequence[dict]) -> Row:
    finding = Finding(rows[0]["finding"])
    # Two or three runs say nothing of how far a difference would scatter: the sentence gives no interval, either.
    known = finding is not Finding.NOT_ENOUGH_RUNS
    contrasts = tuple(
        Contrast(
            words.comparator(str(x["against"]), facts.reference, facts.cheap), x["difference"],
            x["low"] if known else math.nan, x["high"] if known else math.nan,
        )
        for x in rows if pd.notna(x["difference"])
    )  # fmt: skip
    line = declared.arm(arm) if arm in declared.arms else ""
    roles = {facts.cheap: "the simple baseline", facts.primary: "the primary arm"}
    return Row(arm, roles.get(arm, ""), line, finding, contrasts)

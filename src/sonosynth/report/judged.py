"""What may be said of the arms of a study, by the score of one task."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import ALL
from sonosynth.report import sentences
from sonosynth.report.facts import Facts
from sonosynth.report.words import SCORES, TASKS


@dataclass(frozen=True)
class Judged:
    """verdicts: rows as in verdicts.csv. metric: the score that decides, as there. arms: the sets that each adds.
    controls: the arms whose sets are controls, no synthetic images.
    """

    verdicts: pd.DataFrame
    metric: str
    arms: Mapping[str, tuple[str, ...]]
    controls: frozenset[str] = frozenset()

    @property
    def score(self) -> str:
        """The score that decides, in words."""
        return SCORES[self.metric]

    @property
    def task(self) -> str:
        """What is judged, in words."""
        return TASKS[self.metric]

    @property
    def decisive(self) -> pd.DataFrame:
        """The contrasts by the score that decides: one row for each arm and each that it has to beat."""
        return self.verdicts[(self.verdicts["metric"] == self.metric) & (self.verdicts["class"] == ALL)]

    @property
    def findings(self) -> dict[str, str]:
        """What may be said of each arm."""
        return dict(zip(self.decisive["arm"], self.decisive["finding"], strict=True))

    def synthetic(self, arm: str) -> bool:
        """Whether an arm adds synthetic images."""
        return bool(self.arms.get(arm)) and arm not in self.controls

    @property
    def smallest(self) -> float | None:
        """The smallest difference from the reference that could be significant if no other arm's is.

        Half the narrowest interval: it is Bonferroni's, at which Holm's method finds its first arm.
        """
        rows = self.decisive.groupby("arm", sort=False).head(1)
        silent = [Finding.NOT_ENOUGH_RUNS, Finding.REFUSED, Finding.NOT_RUN]
        widths = (rows["high"] - rows["low"])[~rows["finding"].isin(silent)].dropna() / 2
        return float(widths.min()) if len(widths) else None

    def sentences(self, facts: Facts, seconds: Mapping[str, float]) -> list[str]:
        """One sentence per arm, then what the study could not have shown at all, or what it needs."""
        return [*self.decisive["sentence"][self.decisive["sentence"] != ""], *self.limits(facts, seconds)]

    def limits(self, facts: Facts, seconds: Mapping[str, float]) -> list[str]:
        """What the study could not have shown at all, or what it needs for a verdict.

        Args:
            seconds: how long each job took, by name.
        """
        said = []
        if self.smallest is not None:
            said.append(sentences.resolution(self.smallest, set(self.findings.values()), self.score))
        if Finding.NOT_ENOUGH_RUNS in self.findings.values():
            said.append(sentences.needed(facts, seconds))
        return said

"""What the classifiers of a run do on another cohort, as text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sonosynth.evidence.judging import ENOUGH_OF_OTHERS, ENOUGH_RUNS, Finding
from sonosynth.evidence.scores import PRIMARY
from sonosynth.report import words
from sonosynth.report.facts import Tested

SCORES = {
    "f1": "F1", "auc": "AUC", "accuracy": "accuracy", "recall": "recall", "brier": "Brier score",
    "calibration_error": "calibration error",
}  # fmt: skip
OWN = "own "  # before the name of a score on the study's own validation images
COLUMNS = {
    "arm": "arm", "f1": "F1", "own f1": "F1 at home", "auc": "AUC", "own auc": "AUC at home",
    "accuracy": "accuracy", "recall": "recall", "brier": "Brier score", "calibration_error": "calibration error",
    "own calibration_error": "calibration error at home", "finding": "finding",
}  # fmt: skip
"""Of the table in the report."""


@dataclass(frozen=True)
class Elsewhere:
    """A test: rows of its tables (see `tested.judge`, `other_cohort.predict`), and of the run's own table.csv.

    simulated: whether the other cohort is. groups: of its images by id, as `cohort.split.independent` names them.
    """

    tested: Tested
    images: pd.DataFrame
    predictions: pd.DataFrame
    table: pd.DataFrame
    verdicts: pd.DataFrame
    own: pd.DataFrame
    simulated: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> dict[str, str]:
        """What may be said of each arm there."""
        rows = self.verdicts[(self.verdicts["metric"] == PRIMARY.name) & (self.verdicts["class"] == PRIMARY.of)]
        return dict(zip(rows["arm"], rows["finding"], strict=True))

    def rows(self) -> list[dict[str, str]]:
        """The scores there and at home: one row per arm, by the names of `COLUMNS`, intervals under "NAME_interval"."""
        at_home = {str(row["arm"]): row for row in self.own.to_dict("records")}
        found = []
        for row in self.table.to_dict("records"):
            arm = str(row["arm"])
            shown = {"arm": arm, "finding": self.findings.get(arm, "–")}
            for before, of in (("", row), (OWN, at_home[arm])):
                for name in SCORES:
                    shown[before + name] = words.number(of[name])
                    if pd.notna(of[f"{name}_low"]):
                        shown[f"{before}{name}_interval"] = _span(of, name)
            found.append(shown)
        return found

    def sentences(self) -> list[str]:
        """What was tested, what doesn't hold there, one sentence per arm, and what is missing."""
        said = [self._about(), self._left_out(), *self.warnings()]
        said += [text for text in self.verdicts["sentence"] if text]
        if Finding.NOT_ENOUGH_RUNS in self.findings.values():
            said.append(
                f"A verdict on another cohort needs the classifiers of at least {ENOUGH_RUNS} blocks"
                f" (repeats.folds={ENOUGH_RUNS}); on one split, {ENOUGH_RUNS} generators (repeats.generators),"
                f" {ENOUGH_RUNS} seeds for an arm without one, and {ENOUGH_OF_OTHERS} seeds of each comparator."
            )
        for arm, others in self.tested.lacking.items():
            if others:
                said.append(
                    f"{arm} is not compared with {' or '.join(others)} there, whose classifiers were not kept"
                    " (test.arms)."
                )
        return said

    def warnings(self) -> list[str]:
        """The arms whose AUC there is lower than at home by more than their intervals explain."""
        at_home = {str(row["arm"]): row for row in self.own.to_dict("records")}
        found = []
        for row in self.table.to_dict("records"):
            own = at_home[str(row["arm"])]
            if row["auc_high"] < own["auc_low"]:
                chance = ", which was not shown to be better than chance" if row["auc_low"] <= 0.5 else ""
                found.append(
                    f"{row['arm']} does not hold on {self.tested.name}: its AUC is {row['auc']:.3f} there"
                    f" (95% interval {_span(row, 'auc')}){chance}, and {own['auc']:.3f} ({_span(own, 'auc')}) on the"
                    " study's own validation images. Scores don't tell why: marks, devices or the choice of patients"
                    " may have told the classes apart at home, or the cases there may be harder."
                )
        return found

    def _about(self) -> str:
        tested, scored = self.tested, self.images[self.images["excluded"] == ""]
        counts = ", ".join(f"{n} {label}" for label, n in scored["label"].value_counts().sort_index().items())
        renamed = [f"{own} = {other}" for other, own in tested.labels.items() if own != other]
        said = f"{tested.name}: the classifiers of this study on {len(scored)} images of {Path(tested.path).name}"
        said += f" ({'simulated: ' * self.simulated}{counts}), none of which it knows"
        said += f"; first done with these settings on {tested.date}"
        said += f"; labels: {', '.join(renamed)}" * bool(renamed)
        more = " (each with other settings or labels: the more there are, the likelier is a chance finding)"
        return f"{said}; {words.number_of(tested.looks, 'look')} at these images{more * (tested.looks > 1)}."

    def _left_out(self) -> str:
        out = self.images[self.images["excluded"] != ""]
        reasons = ", ".join(f"{n} {reason}" for reason, n in out["excluded"].value_counts().items())
        found = f"{words.number_of(len(out), 'image')} left out: {reasons}" if len(out) else "No image was left out"
        return f"{found}. tests/{self.tested.name}/cohort.csv in the run names each of them."


def _span(row: dict, name: str) -> str:
    return f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"

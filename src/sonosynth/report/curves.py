"""What a run found by the share and by the strength of synthetic images, and what an arm has chosen among others."""

from dataclasses import dataclass

import pandas as pd

from sonosynth.report.facts import Curve
from sonosynth.report.results import Results


@dataclass(frozen=True)
class Point:
    """One arm of a curve.

    value: its share or strength. score: its macro F1, or the difference from the same arm without its sets; low, high:
    the 95% interval, as in table.csv or verdicts.csv, NaN if there is none. chosen: how often arms chose it on inner
    images. of: among how many choices it was.
    """

    value: float
    arm: str
    score: float
    low: float
    high: float
    chosen: int
    of: int


@dataclass(frozen=True)
class Panel:
    """A curve, and its points by increasing value; arms that were refused or not run are left out."""

    curve: Curve
    points: tuple[Point, ...]


def panels(results: Results) -> list[Panel]:
    """The curves of which there are at least two points."""
    found = [Panel(curve, _points(results, curve)) for curve in results.curves]
    return [panel for panel in found if len(panel.points) > 1]


def _points(results: Results, curve: Curve) -> tuple[Point, ...]:
    if curve.without is None:
        own = results.table.set_index("arm").reindex(columns=["f1", "f1_low", "f1_high"])
    else:
        rows = results.classification.decisive[results.classification.decisive["against"] == curve.without]
        own = rows.set_index("arm")[["difference", "low", "high"]]
        own.loc[curve.without] = [0.0, float("nan"), float("nan")]
    own = own.dropna(subset=own.columns[0])
    times = pd.DataFrame(columns=["candidate", "chosen"]) if results.choices is None else results.choices
    found = []
    for value, arm in curve.points:
        if arm in own.index:
            among = times["chosen"][times["candidate"] == arm]
            score, low, high = map(float, own.loc[arm])
            found.append(Point(value, arm, score, low, high, int(among.sum()), len(among)))
    return tuple(found)

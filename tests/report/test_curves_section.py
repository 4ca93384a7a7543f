"""Curves over share and strength have the numbers of the tables, and say what was chosen."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from sonosynth.report.curves import panels
from sonosynth.report.facts import Curve
from sonosynth.report.judged import Judged
from sonosynth.report.sections import curves as section
from sonosynth.report.tables import COLUMNS

NAN = float("nan")
SHARES = Curve("share", "cheap", ((0.0, "cheap"), (0.1, "tenth"), (0.25, "quarter"), (0.5, "half")))
ALONE = Curve("strength", None, ((0.2, "weak"), (0.4, "tenth"), (0.6, "lost")))
CHOICES = pd.DataFrame(
    {
        "arm": "best", "draw": 0, "split": [0, 0, 1, 1, 2, 2], "generator": "0", "candidate": ["tenth", "half"] * 3,
        "score": 0.5, "chosen": [False, True, True, False, False, True],
    }
)  # fmt: skip


class Found:
    """What a curve is drawn from."""

    curves = (SHARES, ALONE)
    choices = CHOICES
    table = pd.DataFrame({"arm": ["weak", "tenth", "lost"], "f1": [0.6, 0.7, NAN], "f1_low": 0.5, "f1_high": 0.8})
    decisive = pd.DataFrame(
        [
            {"arm": arm, "against": against, "difference": value, "low": value - 0.1, "high": value + 0.2}
            for arm, against, value in (
                ("tenth", "real", 0.9), ("tenth", "cheap", 0.02), ("quarter", "cheap", NAN), ("half", "cheap", -0.03)
            )
        ],
        columns=COLUMNS,
    )  # fmt: skip
    classification = Judged(decisive.assign(metric="f1", **{"class": ""}), "f1", {})


def test_points_are_differences_from_the_same_arm_without_its_sets_or_scores():
    shares, strengths = panels(Found)
    assert [(p.value, p.arm, p.score) for p in shares.points] == [
        (0, "cheap", 0),
        (0.1, "tenth", 0.02),
        (0.5, "half", -0.03),
    ]
    assert [(p.low, p.high) for p in shares.points[1:]] == [pytest.approx(x) for x in ((-0.08, 0.22), (-0.13, 0.17))]
    assert [(p.arm, p.score, p.low, p.high) for p in strengths.points] == [
        ("weak", 0.6, 0.5, 0.8),
        ("tenth", 0.7, 0.5, 0.8),
    ]


def test_points_say_how_often_they_were_chosen():
    assert [(p.chosen, p.of) for p in panels(Found)[0].points] == [(0, 0), (1, 3), (2, 3)]
    figure = section.curves(panels(Found))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1/3", "2/3"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[0, 0], [0.1, 0.02], [0.5, -0.03]]
    assert [axis.get_xlabel() for axis in figure.axes] == ["share of synthetic images", "strength of the variations"]
    plt.close(figure)


def test_without_curves_and_choices_there_is_no_section():
    class Nothing(Found):
        curves, choices = (), None

    class Refused(Found):
        curves, choices = (replace(SHARES, points=SHARES.points[:1] + SHARES.points[2:3]),), None

    assert section.shown(Found)
    assert not section.shown(Nothing) and not section.shown(Refused)

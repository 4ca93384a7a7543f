"""The verdicts, the table, and each arm's difference from the reference."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import PRIMARY
from sonosynth.evidence.segmented import DICE
from sonosynth.report.facts import Facts
from sonosynth.report.figures import PAGE, STYLE, wrapped
from sonosynth.report.results import Shown
from sonosynth.report.symbols import SYMBOLS
from sonosynth.report.words import comparator


def figures(shown: Shown) -> dict[str, Figure]:
    """The forest plots: for a paper, since the page draws the same as text and lines that fit its width."""
    names, facts = {PRIMARY.name: "forest", DICE.name: "forest_dice"}, shown.results.facts
    return {names[one.metric]: forest(one.decisive, facts, one.score) for one in shown.results.judged}


def forest(contrasts: pd.DataFrame, facts: Facts, score: str) -> Figure:
    """Differences in a score: rows of verdicts.csv, a panel for each part that a comparator has, with 95% intervals.

    The colour and the shape of a marker are those of the arm's finding.
    """
    rows = contrasts.dropna(subset=["difference"])
    named = rows["against"].map(lambda name: comparator(name, facts.reference, facts.cheap))
    arms, others = list(dict.fromkeys(rows["arm"])), list(dict.fromkeys(named))
    with plt.rc_context(STYLE):
        size = (PAGE, 0.9 + 0.28 * len(arms))
        figure, axes = plt.subplots(1, max(len(others), 1), figsize=size, squeeze=False, sharex=True, sharey=True)
        for axis, other in zip(axes[0], others, strict=False):
            for row in rows[named == other].to_dict("records"):
                symbol = SYMBOLS[Finding(row["finding"])]
                errors = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
                axis.errorbar(
                    row["difference"], arms.index(row["arm"]), xerr=errors, fmt=symbol.marker, markersize=4.5,
                    capsize=1.5, linewidth=1, color=symbol.colour,
                )  # fmt: skip
            axis.axvline(0, color="#888888", linewidth=0.8, linestyle="-")
            axis.set_title(f"against {wrapped(other, 34)}")
        axes[0, 0].set_yticks(np.arange(len(arms)), [wrapped(arm, 34) for arm in arms])
        axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
        figure.supxlabel(f"difference in {score}", fontsize=STYLE["font.size"])
        found = dict.fromkeys(map(Finding, rows["finding"]))
        handles = [
            Line2D([], [], marker=SYMBOLS[x].marker, color=SYMBOLS[x].colour, linestyle="none", label=str(x))
            for x in found
        ]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure

"""The verdicts, the table, and each arm's difference from the reference."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.report.figures import COLOURS, COLUMN, STYLE
from sonosynth.report.results import Shown

ALT = {"forest": "Differences in macro F1 of every arm from what it is compared with, with 95% intervals"}


def figures(shown: Shown) -> dict[str, Figure]:
    """The forest plot."""
    return {"forest": forest(shown.results.decisive)}


def forest(contrasts: pd.DataFrame) -> Figure:
    """Differences in macro F1: rows of verdicts.csv, several for an arm, with 95% intervals where there are any."""
    rows = contrasts.dropna(subset=["difference"])
    arms, others = list(dict.fromkeys(rows["arm"])), list(dict.fromkeys(rows["against"]))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 0.9 + 0.15 * len(rows)))
        for number, other in enumerate(others):
            own = rows[rows["against"] == other]
            places = own["arm"].map(arms.index) + 0.6 * (number + 0.5) / len(others) - 0.3
            errors = [own["difference"] - own["low"], own["high"] - own["difference"]]
            axis.errorbar(
                own["difference"], places, xerr=errors, fmt="o", markersize=3, capsize=1.5, linewidth=0.9,
                color=COLOURS[(number + 1) % len(COLOURS)], label=f"from {other}",
            )  # fmt: skip
        axis.set_yticks(np.arange(len(arms)), arms)
        axis.set_xlabel("difference in macro F1")
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.invert_yaxis()
        if others:
            figure.legend(loc="outside lower center", ncols=2)
    return figure

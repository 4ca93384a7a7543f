"""The verdicts, the table, and each arm's difference from the reference."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.evidence.contrasts import PRIMARY
from sonosynth.report.figures import COLOURS, COLUMN, STYLE
from sonosynth.report.results import Shown

ALT = {"forest": "Difference in macro F1 of every arm from real images alone, with 95% intervals"}


def figures(shown: Shown) -> dict[str, Figure]:
    """The forest plot."""
    return {"forest": forest(shown.results.differences)}


def forest(differences: pd.DataFrame) -> Figure:
    """Differences in macro F1: rows of differences.csv, one for each arm, with 95% intervals where there are any."""
    primary = (differences["metric"] == PRIMARY.name) & (differences["class"] == PRIMARY.of)
    rows = differences[primary].drop_duplicates("arm", keep="last")
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 0.6 + 0.22 * len(rows)))
        if len(rows):
            places = np.arange(len(rows))
            errors = [rows["difference"] - rows["low"], rows["high"] - rows["difference"]]
            axis.errorbar(rows["difference"], places, xerr=errors, fmt="o", markersize=3.5, color=COLOURS[1], capsize=2)
            axis.set_yticks(places, rows["arm"])
            axis.set_xlabel(f"difference in macro F1 from {rows['against'].iloc[0]}")
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.invert_yaxis()
    return figure

"""How the adapters were trained, and how many steps the classifiers took."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.report.figures import COLUMN, PAGE, STYLE
from sonosynth.report.results import Shown

ALT = {
    "losses": "Loss by step of token and LoRA",
    "learning_curve": "Macro F1 of the classifier by number of steps, one line per split",
}
SMOOTH = 25  # steps


def figures(shown: Shown) -> dict[str, Figure]:
    """The losses, and the search for the number of steps, if there was one."""
    found = {"losses": losses({a.folder.name: a.losses for a in shown.adapters})} if shown.adapters else {}
    if shown.learning_curve is not None:
        found["learning_curve"] = learning_curve(shown.learning_curve)
    return found


def losses(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss curves by adapter: tables with the columns part, step and loss; means over the last `SMOOTH` steps."""
    parts = ("token", "lora")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(PAGE, 1.9))
        for axis, part in zip(axes, parts, strict=True):
            for name, table in tables.items():
                own = table[table["part"] == part]
                if len(own):
                    axis.plot(own["step"], own["loss"].rolling(SMOOTH, min_periods=1).mean(), label=name)
            axis.set(title=part, xlabel="step", ylabel="denoising loss" if part == parts[0] else "")
            if axis.lines:
                axis.legend()
    return figure


def learning_curve(table: pd.DataFrame) -> Figure:
    """Macro F1 by number of steps, a line per split and a dot where it was chosen: rows of learning_curve.csv."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 1.9))
        for _, rows in table.groupby(["draw", "split"]):
            (line,) = axis.plot(rows["steps"], rows["f1"], linestyle="-")
            chosen = rows[rows["chosen"]]
            axis.plot(chosen["steps"], chosen["f1"], "o", markersize=4, color=line.get_color())
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(set(table["steps"])), sorted(set(table["steps"])))
        axis.set(xlabel="steps", ylabel="macro F1")
    return figure

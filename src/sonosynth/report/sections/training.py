"""How the adapters were trained, for how long and why, and how many steps the classifiers took."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sonosynth.fidelity.jobs import ALL
from sonosynth.report.figures import COLOURS, PAGE, STYLE, wrapped
from sonosynth.report.results import Shown
from sonosynth.synthesis.probing import KERNEL

ALT = {
    "losses": "Loss by step of token, LoRA or U-Net",
    "learning_curve": "Macro F1 of the classifier by number of steps, one line per split",
    "probes": "Kernel distance of trial adapters to held-back images by number of steps, one panel per adapter",
}
SMOOTH = 25  # steps
TITLES = {"token": "learned token", "lora": "LoRA", "unet": "whole U-Net", "control": "control branch"}


def figures(shown: Shown) -> dict[str, Figure]:
    """The losses, and the searches for numbers of steps, if there were any."""
    found = {"losses": losses({a.folder.name: a.losses for a in shown.adapters})} if shown.adapters else {}
    if shown.learning_curve is not None:
        found["learning_curve"] = learning_curve(shown.learning_curve)
    if shown.probes is not None:
        found["probes"] = probes(shown.probes)
    return found


def losses(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss curves by adapter: tables as `artefacts.Adapter.losses` gives them; means over the last `SMOOTH` steps.

    There is a panel for token and for LoRA, and one for U-Nets and for control branches if one was trained; a token of
    each class has a line of its own.
    """
    learned = {part for table in tables.values() for part in table["part"]}
    parts = ("token", "lora", *(part for part in ("unet", "control") if part in learned))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(parts), figsize=(PAGE, 1.9))
        for axis, part in zip(axes, parts, strict=True):
            for name, table in tables.items():
                own = table[table["part"] == part]
                for label, rows in own.groupby("label"):
                    named = ": ".join(filter(None, (name, str(label))))
                    axis.plot(rows["step"], rows["loss"].rolling(SMOOTH, min_periods=1).mean(), label=named)
            axis.set(title=TITLES[part], xlabel="step", ylabel="loss" if part == parts[0] else "")
            if axis.lines:
                axis.legend()
    return figure


def _label_steps(axis: Axes, table: pd.DataFrame) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(set(table["steps"])), sorted(set(table["steps"])))
    axis.set(xlabel="steps")


def learning_curve(table: pd.DataFrame) -> Figure:
    """Macro F1 by number of steps, a line per split and a dot where it was chosen: rows of learning_curve.csv."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(PAGE, 1.9))
        for _, rows in table.groupby(["draw", "split"]):
            (line,) = axis.plot(rows["steps"], rows["f1"], linestyle="-")
            chosen = rows[rows["chosen"]]
            axis.plot(chosen["steps"], chosen["f1"], "o", markersize=4, color=line.get_color())
        _label_steps(axis, table)
        axis.set(ylabel="macro F1")
    return figure


def probes(table: pd.DataFrame) -> Figure:
    """What decided, by number of steps, a panel per adapter: rows of probes.csv.

    There is a line for each split and guidance, and a dot where it was chosen; the colour is the guidance's.
    """
    rows = table[(table["metric"] == KERNEL) & (table["class"] == ALL)]
    names, guidances = (sorted(set(rows[column])) for column in ("adapter", "guidance"))
    lines: dict[str, Line2D] = {}
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, len(names), figsize=(PAGE, 1.9), sharey=True, squeeze=False)
        for axis, name in zip(panels[0], names, strict=True):
            for (_, _, guidance), own in rows[rows["adapter"] == name].groupby(["draw", "split", "guidance"]):
                colour, chosen = COLOURS[guidances.index(guidance)], own[own["chosen"]]
                (lines[str(guidance)],) = axis.plot(own["steps"], own["value"], color=colour, linestyle="-")
                axis.plot(chosen["steps"], chosen["value"], "o", markersize=4, color=colour)
            _label_steps(axis, rows)
            axis.set(title=wrapped(name), ylabel="kernel distance" if name == names[0] else "")
        figure.legend(lines.values(), lines.keys(), title="guidance", loc="outside right center")
    return figure

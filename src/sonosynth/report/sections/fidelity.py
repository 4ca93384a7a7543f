"""How real the sets look."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.fidelity.jobs import ALL, TRAINING
from sonosynth.report.figures import COLOURS, PAGE, STYLE
from sonosynth.report.results import Shown

ALT = {
    "fidelity": "Every fidelity metric of every set at equal counts, beside that of real images",
    "speckle": "Speckle statistics and attenuation of real images and of every set, as box plots",
}
NAMES = {
    "frechet": "Fréchet distance", "kernel": "kernel distance", "vendi": "Vendi score", "ratio": "mean / deviation",
    "nakagami": "Nakagami shape", "axial": "axial length", "lateral": "lateral length",
    "attenuation": "slope with depth", "mean": "mean of these six",
}  # fmt: skip
SINGLE = {
    "ratio": "mean / deviation",
    "nakagami": "Nakagami shape",
    "axial": "axial length (pixels)",
    "lateral": "lateral length (pixels)",
    "attenuation": "slope with depth",
}


def figures(shown: Shown) -> dict[str, Figure]:
    """Every metric beside its floor, and speckle image by image."""
    found = {}
    if len(shown.results.fidelity):
        found["fidelity"] = fidelity(shown.results.fidelity)
    if shown.ultrasound is not None:
        found["speckle"] = speckle(shown.ultrasound)
    return found


def fidelity(table: pd.DataFrame) -> Figure:
    """Every metric of every set at equal counts, beside that of real images: rows of fidelity.csv of all classes."""
    rows = table[(table["class"] == ALL) & (table["protocol"] == TRAINING) & table["floor"].notna()]
    metrics = list(dict.fromkeys(zip(rows["features"], rows["metric"], strict=True)))
    across = min(4, max(len(metrics), 1))
    down = max(-(-len(metrics) // across), 1)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(down, across, figsize=(PAGE, 1.25 * down), squeeze=False, sharey=True)
        for axis in axes.flat[len(metrics) :]:
            axis.set_visible(False)
        for axis, (space, metric) in zip(axes.flat, metrics, strict=False):
            own = rows[(rows["metric"] == metric) & (rows["features"] == space)]
            places = np.arange(len(own))
            axis.plot(own["matched"], places, "o", markersize=4, color=COLOURS[1], linestyle="none", label="set")
            axis.plot(own["floor"], places, "|", markersize=9, color=COLOURS[6], linestyle="none", label="real images")
            axis.set_title(NAMES.get(metric, metric))
            axis.set_yticks(places, own["set"])
            axis.set_ylim(len(own) - 0.5, -0.5)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def speckle(table: pd.DataFrame) -> Figure:
    """Ultrasound statistics, image by image: rows of ultrasound.csv, one box per set, real images first."""
    sets = list(dict.fromkeys(table["set"]))
    plain = {"linestyle": "-"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(SINGLE), figsize=(PAGE, 1.2 + 0.16 * len(sets)), sharey=True)
        for axis, (name, title) in zip(axes, SINGLE.items(), strict=True):
            values = [table[table["set"] == own][name].dropna() for own in sets]
            axis.boxplot(
                values, orientation="horizontal", widths=0.6, showfliers=False,
                medianprops={"color": COLOURS[6], **plain}, boxprops=plain, whiskerprops=plain,
            )  # fmt: skip
            axis.set_title(title)
        axes[0].set_yticks(range(1, len(sets) + 1), sets)
        axes[0].invert_yaxis()
    return figure

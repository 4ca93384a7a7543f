"""How real the sets look."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.fidelity.jobs import ACROSS, ALL
from sonosynth.report.figures import COLOURS, PAGE, STYLE, panels, wrapped
from sonosynth.report.results import Shown

ALT = {
    "fidelity": "Every fidelity metric of every set at equal counts, beside that of real images",
    "across": "Distance of each class of every set to each class of the real images, beside that of real images",
    "speckle": "Speckle statistics and attenuation of real images and of every set, as box plots",
    "texture": "Noise, contrast and sharpness of real images and of every set, as box plots",
}
NAMES = {
    "frechet": "Fréchet distance", "kernel": "kernel distance", "vendi": "Vendi score",
    "ratio": "grey-level mean / deviation", "nakagami": "grey-level Nakagami shape", "axial": "axial length in pixels",
    "lateral": "lateral length in pixels", "attenuation": "slope with depth", "mean": "mean of these six",
    "noise_power": "noise power spectrum", "slope": "noise power slope", "noise": "noise level",
    "probe_auc": "told from real (AUC)", "recognised": "recognised",
}  # fmt: skip
SPECKLE = ("ratio", "nakagami", "axial", "lateral", "attenuation")
TEXTURE = ("slope", "noise", "contrast", "sharpness")
LEGIBLE = 6  # classes that a matrix has room to give in numbers


def figures(shown: Shown) -> dict[str, Figure]:
    """Every metric beside its floor, and speckle or noise image by image."""
    found = {}
    if len(shown.results.fidelity):
        found["fidelity"] = fidelity(shown.results.fidelity)
    across_classes = shown.results.fidelity[shown.results.fidelity["protocol"] == ACROSS]
    if len(across_classes):
        found["across"] = across(across_classes[across_classes["metric"] == "frechet"])
    if shown.ultrasound is not None:
        found["speckle"] = image_by_image(shown.ultrasound, SPECKLE)
    if shown.texture is not None:
        found["texture"] = image_by_image(shown.texture, TEXTURE)
    return found


def fidelity(table: pd.DataFrame) -> Figure:
    """Every metric of every set at equal counts, beside that of real images: rows of fidelity.csv."""
    rows = table[(table["class"] == ALL) & table["floor"].notna()]
    metrics = list(dict.fromkeys(zip(rows["features"], rows["metric"], strict=True)))
    with plt.rc_context(STYLE):
        figure, axes = panels(len(metrics), 0.75 + 0.16 * rows["set"].nunique(), sharey=True)
        for axis, (space, metric) in zip(axes, metrics, strict=False):
            own = rows[(rows["metric"] == metric) & (rows["features"] == space)]
            places = np.arange(len(own))
            axis.plot(own["matched"], places, "o", markersize=4, color=COLOURS[1], linestyle="none", label="set")
            axis.plot(own["floor"], places, "|", markersize=9, color=COLOURS[6], linestyle="none", label="real images")
            axis.set_title(f"{NAMES.get(metric, metric)}\n({space})")
            axis.set_yticks(places, own["set"])
            axis.set_ylim(len(own) - 0.5, -0.5)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def across(rows: pd.DataFrame) -> Figure:
    """Distances across classes, one matrix for each feature space and set: rows of fidelity.csv."""
    found = list(dict.fromkeys(zip(rows["features"], rows["set"], strict=True)))
    made, real = (list(dict.fromkeys(rows[name])) for name in ("class", "against"))
    few = len(real) <= LEGIBLE
    lines = 14 if few else 40  # characters
    with plt.rc_context(STYLE):
        figure, axes = panels(len(found), 2.2 if few else 2.8, most=4 if few else 3, sharex=True, sharey=True)
        for axis, (space, name) in zip(axes, found, strict=False):
            own = rows[(rows["set"] == name) & (rows["features"] == space)].set_index(["class", "against"])
            distance, floor = (
                np.array([[own[which].get((a, b), np.nan) for b in real] for a in made])
                for which in ("matched", "floor")
            )
            axis.imshow(np.log2(distance / floor), cmap="Blues", vmin=0, vmax=2, aspect="auto")
            axis.set_title(f"{wrapped(name)}\n({space})")
            axis.set_xticks(range(len(real)), [wrapped(label, lines) for label in real], rotation=90)
            axis.set_yticks(range(len(made)), [wrapped(label, lines) for label in made])
            axis.label_outer()
            for a, b in np.argwhere(np.isfinite(distance)) if few else ():
                colour = "white" if distance[a, b] > 2.5 * floor[a, b] else "black"
                text = f"{distance[a, b]:.3g}\n({floor[a, b]:.3g})"
                axis.text(b, a, text, ha="center", va="center", fontsize=5, color=colour)
        figure.supxlabel("class of the real training images", fontsize=STYLE["font.size"])
        figure.supylabel("class of the synthetic images", fontsize=STYLE["font.size"])
    return figure


def image_by_image(table: pd.DataFrame, names: Sequence[str]) -> Figure:
    """Statistics of single images: rows of a measure's table, one box per set, real images first."""
    sets = list(dict.fromkeys(table["set"]))
    plain = {"linestyle": "-"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(names), figsize=(PAGE, 1.2 + 0.16 * len(sets)), sharey=True)
        for axis, name in zip(axes, names, strict=True):
            values = [table[table["set"] == own][name].dropna() for own in sets]
            axis.boxplot(
                values, orientation="horizontal", widths=0.6, showfliers=False,
                medianprops={"color": COLOURS[6], **plain}, boxprops=plain, whiskerprops=plain,
            )  # fmt: skip
            axis.set_title(NAMES.get(name, name).replace(" ", "\n", 1))
        axes[0].set_yticks(range(1, len(sets) + 1), sets)
        axes[0].invert_yaxis()
    return figure

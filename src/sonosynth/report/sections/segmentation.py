"""What segmenters get right: Dice image by image, and outlines."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sonosynth.evidence.segmented import with_lesions
from sonosynth.report.figures import COLOURS, PAGE, STYLE, Outlined, outlined, wrapped
from sonosynth.report.results import Results, Shown
from sonosynth.report.segmented import Outlines

ALT = {
    "dice": "Dice of each image with a lesion, by arm, with mean and median",
    "outlines": "Images with the outlines of lesions as drawn and as predicted, one row for each arm",
}


def shown(results: Results) -> bool:
    """Whether lesions were segmented."""
    return results.segmented is not None


def figures(page: Shown) -> dict[str, Figure]:
    """Dice image by image, and outlines if real images may be shown."""
    if page.results.segmented is None:
        return {}
    found = {"dice": dice(page.results.segmented.predictions)}
    return found | ({"outlines": outlines(page.outlines)} if page.outlines else {})


def dice(predictions: pd.DataFrame) -> Figure:
    """A dot for each image with a lesion, mean over runs; each arm's mean and median. From rows of segmentation.csv."""
    rows = with_lesions(predictions)
    arms = list(dict.fromkeys(rows["arm"]))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(PAGE, 0.7 + 0.42 * len(arms)))
        for place, arm in enumerate(arms):
            values = rows[rows["arm"] == arm].groupby("id")["dice"].mean().to_numpy()
            apart = 0.3 * np.sin(np.arange(len(values)) * 2.4)  # the same for the same images, without chance
            axis.plot(values, place + apart, ".", color=COLOURS[1], markersize=2.5, alpha=0.5)
            axis.vlines(values.mean(), place - 0.38, place + 0.38, color=COLOURS[0], linewidth=1.4)
            axis.vlines(np.median(values), place - 0.38, place + 0.38, color=COLOURS[6], linewidth=1.4, linestyles="--")
        axis.set(xlim=(-0.02, 1.02), ylim=(len(arms) - 0.5, -0.5), xlabel="Dice")
        axis.set_yticks(range(len(arms)), [wrapped(arm, 34) for arm in arms])
        handles = [
            Line2D([], [], color=COLOURS[0], label="mean"),
            Line2D([], [], color=COLOURS[6], linestyle="--", label="median"),
        ]
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def outlines(found: Outlines) -> Figure:
    """A row for each arm, a column for each image."""
    rows: dict[str, list[Outlined]] = {}
    for arm, masks in found.predicted.items():
        titles = [label if not rows else "" for label in found.labels]
        pictures = zip(titles, found.images, found.masks, masks, strict=True)
        rows[arm] = [Outlined(*one) for one in pictures]
    return outlined(rows, "as drawn", "as predicted")


def pictured(page: Shown) -> list[pd.DataFrame]:
    """Which images are shown with outlines: some of the columns `figures.LISTED`."""
    if page.outlines is None:
        return []
    rows = pd.DataFrame({"label": page.outlines.labels, "file": page.outlines.ids})
    return [rows.assign(figure="outlines", set="real")]

"""What the images look like, and how many there are."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.artefacts import SyntheticSet
from sonosynth.report.figures import COLOURS, COLUMN, STYLE, Pair, evenly, pairs
from sonosynth.report.results import Shown

ALT = {
    "grid": "Grid of real and synthetic images: one row per class, one column for the real images and one per set",
    "refinement": "Synthetic images, each above its refinement",
    "balance": "Bars: real and synthetic training images of each class",
}
PER_CELL, SHOWN = 4, 8


def figures(shown: Shown) -> dict[str, Figure]:
    """The grid; a set above its refinement, if there is one; and the balance of the classes."""
    train = shown.split.train
    real = np.asarray(shown.cohort.pixels[shown.cohort.rows(train["id"])])
    columns = {"real": (list(train["label"]), real)}
    samples: set[str] = set()
    for made in shown.sets:
        samples |= set(made.sample_rows["label"])
        images = np.concatenate([part for part in (made.pixels, made.sample_pixels) if len(part)])
        columns[made.name] = ([*made.rows["label"], *made.sample_rows["label"]], images)
    found = {"grid": grid(columns, shown.split.classes, samples)}
    if shown.refined:
        named = {made.name: made for made in shown.sets}
        refined, start = next(iter(shown.refined.items()))
        found["refinement"] = pairs(_refined(named[start], named[refined]), start, refined)
    if shown.sets:
        counts = [train["label"].value_counts(), shown.sets[0].rows["label"].value_counts()]
        table = pd.concat(counts, axis=1, keys=["real", "synthetic"]).reindex(shown.split.classes).fillna(0)
        found["balance"] = balance(table, shown.sets[0].name)
    return found


def _refined(start: SyntheticSet, refined: SyntheticSet) -> list[Pair]:
    """Images of a set that starts from another, spread evenly, below those that they were made from."""
    rows = refined.rows
    chosen = evenly(len(rows), SHOWN)
    place = {f"{start.name}/{name}": i for i, name in enumerate(start.rows["file_name"])}
    return [
        Pair(rows["label"][i], start.pixels[place[rows["source"][i]]], refined.pixels[i])
        for i in chosen
        if rows["source"][i] in place
    ]


def balance(counts: pd.DataFrame, name: str) -> Figure:
    """Training images and the set `name`: `counts` has the columns real and synthetic, one row per label."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 0.5 + 0.3 * len(counts)))
        axis.barh(counts.index, counts["real"], color=COLOURS[1], label="real")
        axis.barh(counts.index, counts["synthetic"], left=counts["real"], color=COLOURS[5], label=f"synthetic ({name})")
        axis.invert_yaxis()
        axis.set_xlabel("training images")
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def grid(
    sets: Mapping[str, tuple[Sequence[str], np.ndarray]], classes: Sequence[str], samples: Collection[str]
) -> Figure:
    """Classes by sets, four images per cell, as in the paper's Figure 2.

    The images are spread evenly over each set, not chosen. Refined sets show the refinements of the images
    beside them.

    Args:
        sets: the labels and images (N, H, W) uint8 of each set, by name.
        classes: the rows. samples: those whose synthetic images are only shown, not trained on.
    """
    size = (2.2 * len(sets) + 0.6, 2.2 * len(classes) + 0.5)
    with plt.rc_context({"text.parse_math": False}):  # a $ in a label is not a formula
        figure, axes = plt.subplots(len(classes), len(sets), figsize=size, squeeze=False, dpi=150)
    for column, (name, (labels, images)) in enumerate(sets.items()):
        for row, label in enumerate(classes):
            axis = axes[row, column]
            rows = np.flatnonzero(np.asarray(labels) == label)
            if len(rows):
                axis.imshow(_mosaic(images[rows[evenly(len(rows), PER_CELL)]]), cmap="gray", vmin=0, vmax=255)
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(name, fontsize=10)
            if column == 0:
                note = "(some synthetic images for display only)" if label in samples else ""
                axis.set_ylabel(label, fontsize=10)
                axis.text(-0.16, 0.5, note, rotation=90, fontsize=6, va="center", transform=axis.transAxes)
    figure.tight_layout(pad=0.6)
    return figure


def _mosaic(images: np.ndarray) -> np.ndarray:
    """Up to four images (N, H, W) as one, two by two with white gaps, or a single one alone."""
    if len(images) == 1:
        return np.asarray(images[0])
    height, width = images.shape[1:]
    gap = max(1, width // 64)
    canvas = np.full((2 * height + gap, 2 * width + gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // 2) * (height + gap), (i % 2) * (width + gap)
        canvas[y : y + height, x : x + width] = image
    return canvas

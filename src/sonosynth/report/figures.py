"""The grid of pictures, and how figures are kept."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

PER_CELL = 4


def save(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write every figure as `<name>.png` and `<name>.pdf` into `folder`, and close it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=200)
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        plt.close(figure)


def grid(
    sets: Mapping[str, tuple[Sequence[str], np.ndarray]], classes: Sequence[str], samples: Collection[str]
) -> Figure:
    """Classes by sets, four images a cell, as the paper's Figure 2.

    The images are spread evenly over each set, not chosen. Refined sets show the refined images of the ones
    beside them.

    Args:
        sets: name of each set to the labels and images (N, H, W) uint8 of it.
        classes: the rows. samples: those whose synthetic images are shown only, not trained on.
    """
    size = (2.2 * len(sets) + 0.6, 2.2 * len(classes) + 0.5)
    with plt.rc_context({"text.parse_math": False}):  # a $ in a label is no formula
        figure, axes = plt.subplots(len(classes), len(sets), figsize=size, squeeze=False, dpi=150)
    for column, (name, (labels, images)) in enumerate(sets.items()):
        for row, label in enumerate(classes):
            axis = axes[row, column]
            rows = np.flatnonzero(np.asarray(labels) == label)
            chosen = rows[np.linspace(0, len(rows) - 1, min(PER_CELL, len(rows))).astype(int)]
            axis.imshow(_mosaic(images[chosen]), cmap="gray", vmin=0, vmax=255)
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(name, fontsize=10)
            if column == 0:
                note = "\n(synthetic shown only, none needed for balance)" if label in samples else ""
                axis.set_ylabel(label, fontsize=10)
                axis.text(-0.16, 0.5, note.strip(), rotation=90, fontsize=6, va="center", transform=axis.transAxes)
    figure.tight_layout(pad=0.6)
    return figure


def _mosaic(images: np.ndarray) -> np.ndarray:
    """Up to four images (N, H, W) as one, two by two with white gaps, or a single one alone."""
    if len(images) == 1:
        return images[0]
    height, width = images.shape[1:]
    gap = max(1, width // 64)
    canvas = np.full((2 * height + gap, 2 * width + gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // 2) * (height + gap), (i % 2) * (width + gap)
        canvas[y : y + height, x : x + width] = image
    return canvas

"""Figures of a run."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PER_CELL = 4


def grid(
    sets: Mapping[str, tuple[Sequence[str], np.ndarray]], classes: Sequence[str], samples: Collection[str], path: Path
) -> None:
    """Classes by sets, four images a cell, as the paper's Figure 2; written to `path` as PNG.

    The images are spread evenly over each set, not chosen. Refined sets show the refined images of the ones
    beside them.

    Args:
        sets: name of each set to the labels and images (N, H, W) uint8 of it.
        classes: the rows. samples: those whose synthetic images are shown only, not trained on.
    """
    figure, axes = plt.subplots(
        len(classes), len(sets), figsize=(2.2 * len(sets) + 0.6, 2.2 * len(classes) + 0.5), squeeze=False, dpi=150
    )
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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def pairs(found: Sequence[tuple[str, np.ndarray, np.ndarray]], path: Path) -> None:
    """Synthetic images above the training images nearest to them, in the given order; written to `path` as PNG.

    Args:
        found: title, synthetic image (H, W) uint8, training image (H, W) uint8 of each pair.
    """
    figure, axes = plt.subplots(2, max(len(found), 1), figsize=(1.6 * max(len(found), 3), 3.9), squeeze=False, dpi=150)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for column, (title, synthetic, real) in zip(axes.T, found, strict=False):
        column[0].set_title(title, fontsize=7)
        for axis, image in zip(column, (synthetic, real), strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes[0, 0].set_ylabel("synthetic", fontsize=8)
    axes[1, 0].set_ylabel("nearest training image", fontsize=8)
    figure.tight_layout(pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


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

"""What all figures share: one style, pairs of pictures, and how figures are saved.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

COLUMN, PAGE = 3.5, 7.2
"""Widths in a journal, inches: one column, and the whole page."""

COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
STYLE: Any = {
    "font.size": 7,
    "text.parse_math": False,  # a $ in a label is not a formula
    "axes.titlesize": 7.5,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=["-", "-", "--", "-.", ":", "-", "--", "-."]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "legend.fontsize": 6,
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


def save(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write every figure as `<name>.png` and `<name>.pdf` into `folder`, and close it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, figure in figures.items():
        # Laid out once: every savefig would do it again, and draw everything for that.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        figure.savefig(folder / f"{name}.png", dpi=200)
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        plt.close(figure)


@dataclass(frozen=True)
class Pair:
    """Two pictures (H, W) uint8 with one title."""

    title: str
    above: np.ndarray
    below: np.ndarray


def pairs(shown: Sequence[Pair], above: str, below: str) -> Figure:
    """Two rows of pictures, labelled on the left."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, max(len(shown), 1), figsize=(PAGE, 2.05), squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for column, pair in zip(axes.T, shown, strict=False):
            column[0].set_title(pair.title, fontsize=5.5)
            for axis, image in zip(column, (pair.above, pair.below), strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes[0, 0].set_ylabel(above)
        axes[1, 0].set_ylabel(below)
    return figure


def evenly(count: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `count` items, spread evenly over them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.empty(0, int)

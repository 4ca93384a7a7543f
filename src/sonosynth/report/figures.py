"""What all figures share: one style, one width, pairs of pictures, and how figures are saved.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

import re
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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PAGE, DPI = 7.2, 200
"""The width of every figure, inches: a page's, in a journal; and the resolution of PNG files."""

COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
FIRST, SECOND = COLOURS[5], COLOURS[2]
"""Of two outlines."""
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
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


LISTED = ["figure", "set", "label", "file", "prompt", "seed", "source"]
"""The columns of the list of pictures in figures. file: in the run, or the id of a real image. source: what an image
was made from, or is nearest to."""


def save(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write every figure as `<name>.png` and `<name>.pdf` into `folder`, and close it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, figure in figures.items():
        # Laid out once: every savefig would do it again.
        if layout := figure.get_layout_engine():
            layout.execute(figure)
        figure.set_layout_engine(None)
        figure.savefig(folder / f"{name}.png", dpi=DPI)
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        plt.close(figure)


def panels(count: int, height: float, *, most: int = 4, **shared: Any) -> tuple[Figure, np.ndarray]:
    """A figure of the whole width with `count` axes in rows of at most `most`, each `height` inches high.

    Places of the last row that are left over are invisible. `shared`: sharex and sharey, as in `plt.subplots`.
    """
    across = min(most, max(count, 1))
    down = max(-(-count // across), 1)
    figure, axes = plt.subplots(down, across, figsize=(PAGE, height * down), squeeze=False, **shared)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:]


def wrapped(name: str, width: int = 22) -> str:
    """A name in lines of about `width` characters, broken after + - _ and spaces."""
    lines = [""]
    for part in filter(None, re.findall(r"[^+ _-]*[+ _-]*", name)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip(" ") for line in lines)


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
        axes[0, 0].set_ylabel(wrapped(above, 16))
        axes[1, 0].set_ylabel(wrapped(below, 16))
    return figure


@dataclass(frozen=True)
class Outlined:
    """A picture (H, W) uint8 with a title, and two masks (H, W) of it."""

    title: str
    image: np.ndarray
    first: np.ndarray
    second: np.ndarray


def outlined(rows: Mapping[str, Sequence[Outlined]], first: str, second: str) -> Figure:
    """A row of pictures for each name, with the outlines of both masks, which the legend calls `first` and `second`."""
    across = max(3, *map(len, rows.values()))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(len(rows), across, figsize=(PAGE, 0.3 + PAGE / across * len(rows)), squeeze=False)
        for line, (name, pictures) in zip(axes, rows.items(), strict=True):
            for axis in line:
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
            for axis, one in zip(line, pictures, strict=False):
                axis.imshow(one.image, cmap="gray", vmin=0, vmax=255)
                axis.set_title(one.title)
                _outline(axis, one.first, FIRST, "-")
                _outline(axis, one.second, SECOND, "--")
            line[0].set_ylabel(wrapped(name, 20))
        handles = [
            Line2D([], [], color=FIRST, label=first), Line2D([], [], color=SECOND, linestyle="--", label=second)
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _outline(axis: Axes, mask: np.ndarray, colour: str, line: str) -> None:
    if mask.any():
        padded = np.pad(mask.astype(float), 1)  # outlines close at the edge, too
        places = np.arange(-1, len(mask) + 1)
        axis.contour(places, places, padded, [0.5], colors=colour, linestyles=line, linewidths=0.9)


def evenly(count: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `count` items, spread evenly over them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int)) if count else np.empty(0, int)

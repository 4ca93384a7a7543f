"""Charts of a run's tables, in one style, at the width of a journal's column or page.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

COLUMN, PAGE = 3.5, 7.2
"""Widths, inches: one column, and both."""

COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
STYLE: Any = {
    "font.size": 7,
    "text.parse_math": False,
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
BINS = 5
SMOOTH = 25  # steps
NAMES = {"frechet": "Fréchet distance", "kernel": "kernel distance", "vendi": "Vendi score"}
SPECKLE = {
    "ratio": "mean / deviation",
    "nakagami": "Nakagami shape",
    "axial": "axial length (pixels)",
    "lateral": "lateral length (pixels)",
    "attenuation": "slope with depth",
}
DISTANCES = {
    "ratio": "mean / deviation", "nakagami": "Nakagami shape", "axial": "axial length", "lateral": "lateral length",
    "spectrum": "spectrum", "attenuation": "slope with depth", "mean": "mean of these six",
}  # fmt: skip


def balance(counts: pd.DataFrame) -> Figure:
    """Training images before and after: `counts` has the columns label, real and synthetic (of one set)."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 0.5 + 0.3 * len(counts)))
        axis.barh(counts["label"], counts["real"], color=COLOURS[1], label="real")
        axis.barh(counts["label"], counts["synthetic"], left=counts["real"], color=COLOURS[5], label="synthetic")
        axis.invert_yaxis()
        axis.set_xlabel("training images")
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def losses(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss curves by model: tables with the columns part, step and loss; means over the last `SMOOTH` steps."""
    parts = ("token", "lora")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(PAGE, 1.9))
        for axis, part in zip(axes, parts, strict=True):
            for model, table in tables.items():
                own = table[table["part"] == part]
                if len(own):
                    mean = own["loss"].rolling(SMOOTH, min_periods=1).mean()
                    axis.plot(own["step"], mean, label=model)
            axis.set(title=part, xlabel="step", ylabel="denoising loss" if part == parts[0] else "")
            if axis.lines:
                axis.legend()
    return figure


def forest(differences: pd.DataFrame, reference: str) -> Figure:
    """Differences in macro F1 with their 95% intervals, one row an arm: columns arm, metric, difference, low, high."""
    shown = differences[(differences["metric"] == "f1") & differences["low"].notna()].drop_duplicates(
        "arm", keep="last"
    )
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(COLUMN, 0.6 + 0.22 * len(shown)))
        rows = np.arange(len(shown))
        apart = [shown["difference"] - shown["low"], shown["high"] - shown["difference"]]
        axis.errorbar(shown["difference"], rows, xerr=apart, fmt="o", markersize=3.5, color=COLOURS[1], capsize=2)
        axis.axvline(0, color="#888888", linewidth=0.8)
        axis.set_yticks(rows, shown["arm"])
        axis.invert_yaxis()
        axis.set_xlabel(f"macro F1 less that of {reference}")
    return figure


def _by_class(predictions: pd.DataFrame) -> tuple[list[str], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Classes, and of every arm the labels (N,) and probabilities (N, K), means over its runs."""
    columns = [name for name in predictions.columns if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in columns]
    found = {}
    for arm, own in predictions.groupby("arm", sort=False):
        images = own.groupby("id")
        found[str(arm)] = images["label"].first().to_numpy(), images[columns].mean().to_numpy()
    return classes, found


def roc(predictions: pd.DataFrame) -> Figure:
    """ROC curves of every class against the rest, from each arm's mean probabilities over its runs."""
    classes, arms = _by_class(predictions)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(classes), figsize=(PAGE, 2.5), squeeze=False, sharey=True)
        for k, (axis, name) in enumerate(zip(axes[0], classes, strict=True)):
            for arm, (labels, chances) in arms.items():
                wrong, right, _ = roc_curve(labels == name, chances[:, k])
                axis.plot(wrong, right, label=arm)
            axis.set(title=name, xlabel="1 - specificity", aspect="equal")
        axes[0, 0].set_ylabel("recall")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def calibration(predictions: pd.DataFrame) -> Figure:
    """How often a class is there when it is given a probability, in `BINS` bins, from means over runs."""
    classes, arms = _by_class(predictions)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(classes), figsize=(PAGE, 2.5), squeeze=False, sharey=True)
        for k, (axis, name) in enumerate(zip(axes[0], classes, strict=True)):
            axis.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle="-")
            for arm, (labels, chances) in arms.items():
                bins = np.minimum((chances[:, k] * BINS).astype(int), BINS - 1)
                there = [b for b in range(BINS) if (bins == b).any()]
                given = [chances[bins == b, k].mean() for b in there]
                axis.plot(
                    given, [(labels[bins == b] == name).mean() for b in there], marker="o", markersize=2, label=arm
                )
            axis.set(title=name, xlabel="probability given", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes[0, 0].set_ylabel("share that is of the class")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def confusion(predictions: pd.DataFrame) -> Figure:
    """Confusion matrices by arm: shares of each class, over all runs."""
    columns = [name for name in predictions.columns if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in columns]
    called = predictions[columns].to_numpy().argmax(axis=1)
    arms = list(dict.fromkeys(predictions["arm"]))
    across = min(4, len(arms))
    down = -(-len(arms) // across)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(down, across, figsize=(PAGE, 1.9 * down), squeeze=False)
        for axis in axes.flat[len(arms) :]:
            axis.set_visible(False)
        for axis, arm in zip(axes.flat, arms, strict=False):
            own = (predictions["arm"] == arm).to_numpy()
            truth = predictions["label"][own].map(classes.index).to_numpy()
            counts = np.zeros((len(classes), len(classes)))
            np.add.at(counts, (truth, called[own]), 1)
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for (i, j), share in np.ndenumerate(shares):
                axis.text(j, i, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.6 else "black")
            axis.set(title=arm, xticks=range(len(classes)), yticks=range(len(classes)))
            axis.set_xticklabels(classes, rotation=30, ha="right")
            axis.set_yticklabels(classes)
        axes[0, 0].set(ylabel="label", xlabel="called")
    return figure


def fidelity(table: pd.DataFrame) -> Figure:
    """Every metric of every set at equal counts, beside what real images get: rows of fidelity.csv of all classes."""
    shown = table[(table["class"] == "all") & table["floor"].notna()]
    metrics = list(dict.fromkeys(shown["metric"]))
    across = min(4, max(len(metrics), 1))
    down = max(-(-len(metrics) // across), 1)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(down, across, figsize=(PAGE, 1.25 * down), squeeze=False, sharey=True)
        for axis in axes.flat[len(metrics) :]:
            axis.set_visible(False)
        for axis, metric in zip(axes.flat, metrics, strict=False):
            own = shown[shown["metric"] == metric]
            rows = np.arange(len(own))
            axis.plot(own["matched"], rows, "o", markersize=4, color=COLOURS[1], linestyle="none", label="set")
            axis.plot(own["floor"], rows, "|", markersize=9, color=COLOURS[6], linestyle="none", label="real images")
            axis.set_title(NAMES.get(metric, DISTANCES.get(metric, metric)))
            axis.set_yticks(rows, own["set"])
            axis.set_ylim(len(own) - 0.5, -0.5)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def speckle(table: pd.DataFrame) -> Figure:
    """What ultrasound looks like, image by image: rows of ultrasound.csv, a box a set, real images first."""
    sets = list(dict.fromkeys(table["set"]))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(SPECKLE), figsize=(PAGE, 1.2 + 0.16 * len(sets)), sharey=True)
        for axis, (name, title) in zip(axes, SPECKLE.items(), strict=True):
            values = [table[table["set"] == own][name].dropna() for own in sets]
            axis.boxplot(
                values, orientation="horizontal", widths=0.6, showfliers=False,
                medianprops={"color": COLOURS[6], "linestyle": "-"}, boxprops={"linestyle": "-"},
                whiskerprops={"linestyle": "-"},
            )  # fmt: skip
            axis.set_title(title)
        axes[0].set_yticks(range(1, len(sets) + 1), sets)
        axes[0].invert_yaxis()
    return figure


def refinement(pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Text-to-image pictures above their refinement: title, picture and refined picture (H, W) uint8 of each pair."""
    return _two_rows(pairs, "from text", "refined")


def copies(pairs: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Figure:
    """Synthetic images above the training images nearest to them: title and both (H, W) uint8 of each pair."""
    return _two_rows(pairs, "synthetic", "nearest training image")


def _two_rows(pairs: Sequence[tuple[str, np.ndarray, np.ndarray]], above: str, below: str) -> Figure:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, max(len(pairs), 1), figsize=(PAGE, 2.05), squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for column, (title, *images) in zip(axes.T, pairs, strict=False):
            column[0].set_title(title, fontsize=5.5)
            for axis, image in zip(column, images, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes[0, 0].set_ylabel(above)
        axes[1, 0].set_ylabel(below)
    return figure

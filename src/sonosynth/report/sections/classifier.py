"""What the classifiers get right, and how sure they are."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

from sonosynth.evidence.scores import class_names
from sonosynth.report.figures import PAGE, STYLE
from sonosynth.report.results import Shown

ALT = {
    "confusion": "Confusion matrix of every arm",
    "roc": "ROC curves by class, one line per arm",
    "calibration": "Calibration curves by class, one line per arm",
}
BINS = 5


def figures(shown: Shown) -> dict[str, Figure]:
    """Confusion matrices, ROC curves and calibration curves."""
    predictions = shown.results.predictions
    return {"confusion": confusion(predictions), "roc": roc(predictions), "calibration": calibration(predictions)}


def _means(predictions: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The labels (N,) and the probabilities (N, K), means over runs, of every arm."""
    columns = [f"p_{name}" for name in class_names(predictions)]
    found = {}
    for arm, own in predictions.groupby("arm", sort=False):
        images = own.groupby("id")
        found[str(arm)] = images["label"].first().to_numpy(), images[columns].mean().to_numpy()
    return found


def confusion(predictions: pd.DataFrame) -> Figure:
    """Confusion matrices by arm: shares of each class, over all runs."""
    classes = class_names(predictions)
    predicted = predictions[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
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
            ConfusionMatrixDisplay.from_predictions(
                truth, predicted[own], labels=range(len(classes)), display_labels=classes, normalize="true",
                xticks_rotation=30, values_format=".2f", cmap="Blues", ax=axis, colorbar=False,
                im_kw={"vmin": 0, "vmax": 1},
            )  # fmt: skip
            axis.set(title=arm, xlabel="", ylabel="")
        axes[0, 0].set(ylabel="true class", xlabel="predicted class")
    return figure


def roc(predictions: pd.DataFrame) -> Figure:
    """ROC curves of every class against the rest, from each arm's mean probabilities over its runs."""
    return _by_class(predictions, RocCurveDisplay.from_predictions, {"xlabel": "1 - specificity"}, "recall")


def calibration(predictions: pd.DataFrame) -> Figure:
    """Observed frequency of each class by predicted probability, in `BINS` bins, from means over runs."""
    square = {"xlabel": "predicted probability", "xlim": (0, 1), "ylim": (0, 1), "aspect": "equal"}
    drawn = partial(CalibrationDisplay.from_predictions, n_bins=BINS, markersize=2)
    return _by_class(predictions, drawn, square, "observed frequency")


def _by_class(predictions: pd.DataFrame, draw: Callable[..., Any], appearance: dict[str, Any], ylabel: str) -> Figure:
    """A panel for each class against the rest, a line for each arm, which `draw` draws from labels and scores."""
    classes, arms = class_names(predictions), _means(predictions)
    lines: dict[str, Any] = {}  # with the arms' names alone: scikit-learn's labels add the AUC of one class
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(classes), figsize=(PAGE, 2.5), squeeze=False, sharey=True)
        for k, (axis, name) in enumerate(zip(axes[0], classes, strict=True)):
            for arm, (labels, probabilities) in arms.items():
                lines[arm] = draw(labels == name, probabilities[:, k], ax=axis, name=arm).line_
            axis.set(title=name, ylabel="", **appearance)
            axis.get_legend().remove()
        axes[0, 0].set_ylabel(ylabel)
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4)
    return figure

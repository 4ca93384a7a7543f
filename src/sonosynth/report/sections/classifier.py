"""What the classifiers get right, and how sure they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from sonosynth.cohort.split import independent
from sonosynth.evidence import bands
from sonosynth.evidence.scores import ALL, class_names
from sonosynth.report.figures import COLOURS, STYLE, panels, wrapped
from sonosynth.report.results import Shown

ALT = {
    "confusion": "Confusion matrix of every arm: the share of each true class that is predicted as each class",
    "roc": "ROC curves with 95% bands, one panel for each arm, beside real images alone",
    "calibration": "Calibration curves with 95% intervals, one panel for each arm, beside real images alone",
}
LONG = 28  # characters, above which the classes of matrices have numbers
MANY = 3  # classes, above which curves are drawn of their mean, or of the one that matters
ARM, REAL = COLOURS[1], "#777777"

TRAINING = ["draw", "split", "generator", "seed"]  # columns that tell one training of an arm from another


@dataclass(frozen=True)
class Predicted:
    """What the trainings of an arm say: truth (N, K) bool, p (N, K), groups and trainings (N,), see `bands.roc`."""

    truth: np.ndarray
    p: np.ndarray
    groups: np.ndarray
    trainings: np.ndarray

    @classmethod
    def by(cls, predictions: pd.DataFrame, classes: Sequence[str], groups: Mapping[str, str]) -> "Predicted":
        """Those of one arm, from its rows of predictions.csv."""
        return cls(
            predictions["label"].to_numpy()[:, None] == np.array(classes),
            predictions[[f"p_{name}" for name in classes]].to_numpy(),
            bands.codes(predictions["id"], groups),
            predictions.groupby(TRAINING, dropna=False).ngroup().to_numpy(),
        )

    def of(self, classes: Sequence[int]) -> "Predicted":
        """The same for some of the classes."""
        return replace(self, truth=self.truth[:, classes], p=self.p[:, classes])


Draw = Callable[[Axes, Predicted, str, str], Any]
"""Draws one arm in a colour and a line style; returns what stands for it in the legend."""


def figures(shown: Shown) -> dict[str, Figure]:
    """Confusion matrices, ROC curves and calibration curves."""
    results = shown.results
    if not results.classified:
        return {}
    groups = independent(shown.cohort.images, shown.cohort.twins)
    about = (results.predictions, groups, results.facts.reference, results.facts.positive)
    return {"confusion": confusion(results.predictions), "roc": roc(*about), "calibration": calibration(*about)}


def confusion(predictions: pd.DataFrame) -> Figure:
    """Confusion matrices by arm: shares of each class in per cent, over all runs; long names of classes stand below."""
    classes = class_names(predictions)
    predicted = predictions[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    arms = list(dict.fromkeys(predictions["arm"]))
    names, key = [wrapped(name, 14) for name in classes], ""
    if max(map(len, classes)) > LONG:
        names = [str(number) for number, _ in enumerate(classes, 1)]
        key = "".join(f"\n{number}: {name}" for number, name in zip(names, classes, strict=True))
    few, some = len(classes) <= 3, len(classes) <= 8
    most, height, size = (4, 1.9, 6.5) if few else (3, 2.4, 5) if some else (2, 3.3, 4.5)
    with plt.rc_context(STYLE):
        figure, axes = panels(len(arms), height, most=most, sharex=True, sharey=True)
        for axis, arm in zip(axes, arms, strict=False):
            own = (predictions["arm"] == arm).to_numpy()
            truth = predictions["label"][own].map(classes.index).to_numpy()
            drawn = ConfusionMatrixDisplay.from_predictions(
                truth, predicted[own], labels=range(len(classes)), display_labels=names,
                normalize="true", xticks_rotation=90 if len(classes) > 2 else 0, values_format=".0%", cmap="Blues",
                ax=axis, colorbar=False, im_kw={"vmin": 0, "vmax": 1}, text_kw={"fontsize": size},
            )  # fmt: skip
            for text, share in zip(drawn.text_.flat, drawn.confusion_matrix.flat, strict=True):
                text.set_color("white" if share > 0.55 else "black")
            axis.set(title=wrapped(arm, 88 // most), xlabel="", ylabel="")
            axis.label_outer()
        figure.set_figheight(figure.get_figheight() + 0.12 * key.count("\n"))
        figure.supxlabel(f"predicted class{key}", fontsize=STYLE["font.size"])
        figure.supylabel("true class", fontsize=STYLE["font.size"])
    return figure


def roc(predictions: pd.DataFrame, groups: Mapping[str, str], reference: str, positive: str | None = None) -> Figure:
    """ROC curves with bands, each arm beside the reference: see `_against`."""
    axes = {"xlabel": "1 − specificity", "ylabel": "sensitivity", "aspect": "equal"}
    return _against(predictions, groups, reference, positive, _roc, axes)


def calibration(
    predictions: pd.DataFrame, groups: Mapping[str, str], reference: str, positive: str | None = None
) -> Figure:  # fmt: skip
    """Observed by predicted frequency with intervals, each arm beside the reference: see `_against`."""
    axes = {"xlabel": "predicted probability", "ylabel": "observed share", "aspect": "equal"}
    return _against(predictions, groups, reference, positive, _calibration, axes)


def _roc(axis: Axes, arm: Predicted, colour: str, line: str) -> Any:
    found = bands.roc(arm.truth, arm.p, arm.groups, arm.trainings)
    axis.fill_between(bands.RATES, found.low, found.high, color=colour, alpha=0.18, linewidth=0)
    return axis.plot(bands.RATES, found.sensitivity, color=colour, linestyle=line)[0]


def _calibration(axis: Axes, arm: Predicted, colour: str, line: str) -> Any:
    found = bands.calibration(arm.truth, arm.p, arm.groups, arm.trainings)
    errors = [found["observed"] - found["low"], found["high"] - found["observed"]]
    return axis.errorbar(
        found["predicted"], found["observed"], yerr=errors, color=colour, linestyle="none", capsize=1.5, elinewidth=0.8,
        marker="o" if line == "-" else "s", markersize=3,
    )  # fmt: skip


def views(classes: list[str], positive: str | None) -> list[str]:
    """What curves are drawn of: one of two classes, each of a few, or of many the one that matters or all together."""
    if len(classes) == 2:
        return [positive or classes[-1]]
    return classes if len(classes) <= MANY else [positive or ALL]


def _against(
    predictions: pd.DataFrame, groups: Mapping[str, str], reference: str, positive: str | None, draw: Draw,
    appearance: Mapping[str, Any],
) -> Figure:  # fmt: skip
    """A panel for each arm but the reference, which is in all of them; a column for each of several classes."""
    classes = class_names(predictions)
    shown = views(classes, positive)
    arms = [arm for arm in dict.fromkeys(predictions["arm"]) if arm != reference] or [reference]
    found = {
        arm: Predicted.by(predictions[predictions["arm"] == arm], classes, groups)
        for arm in dict.fromkeys([reference, *arms])
    }
    with plt.rc_context(STYLE):
        count = len(arms) * len(shown)
        most = 4 if len(shown) == 1 else len(shown)
        figure, axes = panels(count, 1.95, most=most, sharex=True, sharey=True)
        for place, axis in enumerate(axes[:count]):
            arm, name = arms[place // len(shown)], shown[place % len(shown)]
            own = [classes.index(name)] if name != ALL else list(range(len(classes)))
            axis.plot([0, 1], [0, 1], color="#cccccc", linewidth=0.7, linestyle=":")
            handles = [
                draw(axis, found[other].of(own), colour, line)
                for other, colour, line in ((reference, REAL, "--"), (arm, ARM, "-"))
            ]
            about = wrapped(name, 88 // most) if name != ALL else "mean over classes"
            axis.set(title=f"{wrapped(arm, 88 // most)}\n{about}", xlim=(0, 1), ylim=(0, 1), **appearance)
            axis.label_outer()
        names = ["real images alone", "the arm named above the panel"]
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure

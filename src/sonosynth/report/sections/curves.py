"""How much the share and the strength of synthetic images matter."""

import math

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.report import figures as drawing
from sonosynth.report.curves import Panel, panels
from sonosynth.report.figures import COLOURS, STYLE, wrapped
from sonosynth.report.results import Results, Shown

ALT = {
    "curves": "Macro F1 by the share and by the strength of synthetic images, with 95% intervals, one panel for each"
    " series of arms; the table below has the values"
}
ACROSS = 3  # panels in a row
NAMES = {"share": "share of synthetic images", "strength": "strength of the variations"}


def figures(shown: Shown) -> dict[str, Figure]:
    """One panel for each curve, if there is any."""
    found = panels(shown.results)
    return {"curves": curves(found)} if found else {}


def shown(results: Results) -> bool:
    """Whether there is a curve, or an arm that chose among others."""
    return bool(results.choices is not None or panels(results))


def curves(found: list[Panel]) -> Figure:
    """Macro F1, or its difference from the same arm without its sets, by share or strength.

    Above a point stands how often it was chosen, and of how many choices, if it was a candidate.
    """
    with plt.rc_context(STYLE):
        figure, axes = drawing.panels(len(found), 2.2, most=ACROSS)
        for axis, panel in zip(axes, found, strict=False):
            x, y = ([getattr(point, name) for point in panel.points] for name in ("value", "score"))
            errors = [[p.score - p.low for p in panel.points], [p.high - p.score for p in panel.points]]
            axis.errorbar(
                x, y, yerr=errors, fmt="o-", markersize=3, capsize=1.5, linewidth=0.9, color=COLOURS[1]
            )  # fmt: skip
            for point in panel.points:
                if point.of:
                    top = point.score if math.isnan(point.high) else point.high
                    axis.annotate(
                        f"{point.chosen}/{point.of}", (point.value, top), (0, 3), textcoords="offset points",
                        ha="center", fontsize=6,
                    )  # fmt: skip
            if panel.curve.without is not None:
                axis.axhline(0, color="#888888", linewidth=0.8, linestyle="-")
            axis.set_xticks(x, [f"{value:g}" for value in x])
            axis.margins(y=0.15)
            axis.set(
                title=f"{wrapped(panel.points[0].arm, 34)}\nto {wrapped(panel.points[-1].arm, 34)}",
                xlabel=NAMES[panel.curve.variable],
                ylabel="macro F1" if panel.curve.without is None
                else f"difference in macro F1 from\n{wrapped(panel.curve.without, 30)}",
            )  # fmt: skip
    return figure

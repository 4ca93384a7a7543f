"""How the adapters were trained."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.report.figures import PAGE, STYLE
from sonosynth.report.results import Shown

ALT = {"losses": "Loss by step of token and LoRA"}
SMOOTH = 25  # steps


def figures(shown: Shown) -> dict[str, Figure]:
    """The losses."""
    return {"losses": losses({a.folder.name: a.losses for a in shown.adapters})} if shown.adapters else {}


def losses(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss curves by adapter: tables with the columns part, step and loss; means over the last `SMOOTH` steps."""
    parts = ("token", "lora")
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(PAGE, 1.9))
        for axis, part in zip(axes, parts, strict=True):
            for name, table in tables.items():
                own = table[table["part"] == part]
                if len(own):
                    axis.plot(own["step"], own["loss"].rolling(SMOOTH, min_periods=1).mean(), label=name)
            axis.set(title=part, xlabel="step", ylabel="denoising loss" if part == parts[0] else "")
            if axis.lines:
                axis.legend()
    return figure

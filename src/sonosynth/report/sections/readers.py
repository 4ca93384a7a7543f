"""How well human readers tell real from synthetic images."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.reader.scoring import Reading
from sonosynth.report.figures import COLOURS, PAGE, STYLE
from sonosynth.report.results import Shown

ALT = {
    "readers": "Accuracy, sensitivity and specificity of every reader in telling synthetic from real images, with 95%"
    " intervals; the table below has the values"
}
NAMES = {
    "accuracy": "accuracy", "sensitivity": "synthetic called synthetic", "specificity": "real called real"
}  # fmt: skip


def figures(shown: Shown) -> dict[str, Figure]:
    """One row for each reader, if there are any."""
    found = [one.reading for one in shown.results.readers]
    return {"readers": readers(found)} if found else {}


def readers(readings: list[Reading]) -> Figure:
    """Three shares of each reader, with intervals; guessing would be right in half of the images."""
    rows = [(one.kit, reader) for one in readings for reader in one.readers]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(PAGE, 0.9 + 0.3 * len(rows)))
        for place, (name, text) in enumerate(NAMES.items()):
            shares = [getattr(reader, name) for _, reader in rows]
            known = [(y + 0.2 * (place - 1), share) for y, share in enumerate(shares) if share.of]
            values = [share.value for _, share in known]
            errors = [
                [share.value - share.interval[0] for _, share in known],
                [share.interval[1] - share.value for _, share in known],
            ]
            axis.errorbar(
                values, [y for y, _ in known], xerr=errors, fmt="o", markersize=3, capsize=1.5, linewidth=0.9,
                color=COLOURS[place + 1], label=text,
            )  # fmt: skip
        several = len(readings) > 1
        axis.set_yticks(range(len(rows)), [f"{kit}: {one.name}" if several else one.name for kit, one in rows])
        axis.set(xlim=(0, 1), xlabel="share of images")
        axis.axvline(0.5, color="#888888", linewidth=0.8)
        axis.invert_yaxis()
        figure.legend(loc="outside lower center", ncols=2)
    return figure

"""The synthetic images that are nearest to a training image."""

from matplotlib.figure import Figure

from sonosynth.report.figures import Pair, pairs
from sonosynth.report.results import Shown

ALT = {"closest": "The synthetic images nearest to a training image, each above that image"}
SHOWN = 8


def figures(shown: Shown) -> dict[str, Figure]:
    """The closest pairs, most suspicious first."""
    if not shown.sets:
        return {}
    named = {made.name: made for made in shown.sets}
    found = shown.results.memorisation
    found = found[found["set"].isin(named) & (found["nearest"] != "")]
    rows = found.sort_values("correlation", ascending=False, kind="stable").head(SHOWN)
    real = shown.cohort.pixels[shown.cohort.rows(rows["nearest"])]
    closest = []
    for row, below in zip(rows.to_dict("records"), real, strict=True):
        made = named[str(row["set"])]
        place = list(made.rows["file_name"]).index(row["file_name"])
        title = f"{made.name}\n{row['correlation']:.2f}{', flagged' if row['copy'] else ''}"
        closest.append(Pair(title, made.pixels[place], below))
    return {"closest": pairs(closest, "synthetic", "nearest training image")}

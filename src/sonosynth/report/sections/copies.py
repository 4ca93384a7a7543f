"""The synthetic images that are nearest to a training image."""

import pandas as pd
from matplotlib.figure import Figure

from sonosynth.artefacts import SyntheticSet
from sonosynth.report.figures import Pair, pairs
from sonosynth.report.results import Shown
from sonosynth.report.sections.pictures import listed

ALT = {"closest": "The synthetic images nearest to a training image, each above that image"}
SHOWN = 8


def figures(shown: Shown) -> dict[str, Figure]:
    """The closest pairs, most suspicious first; none where real images may not be shown."""
    if not (shown.sets and shown.real_images):
        return {}
    rows = _closest(shown)
    real = shown.cohort.pixels[shown.cohort.rows(rows["nearest"])]
    closest = []
    for row, below in zip(rows.to_dict("records"), real, strict=True):
        made, place = _image(shown, row["set"], row["file_name"])
        title = f"{made.name}\n{row['correlation']:.2f}{', flagged' if row['copy'] else ''}"
        closest.append(Pair(title, made.pixels[place], below))
    return {"closest": pairs(closest, "synthetic", "nearest training image")}


def pictured(shown: Shown) -> list[pd.DataFrame]:
    """Which images these are: see `pictures.pictured`."""
    if not (shown.sets and shown.real_images):
        return []
    rows = []
    for row in _closest(shown).to_dict("records"):
        made, place = _image(shown, row["set"], row["file_name"])
        about = {"figure": "closest", "set": made.name, "source": row["nearest"]}
        rows.append(listed(made, made.rows.iloc[[place]]).assign(**about))
    return rows


def _closest(shown: Shown) -> pd.DataFrame:
    found = shown.results.memorisation
    found = found[found["set"].isin([made.name for made in shown.sets]) & (found["nearest"] != "")]
    return found.sort_values("correlation", ascending=False, kind="stable").head(SHOWN)


def _image(shown: Shown, name: str, file: str) -> tuple[SyntheticSet, int]:
    """The set and the position of an image in it."""
    made = next(made for made in shown.sets if made.name == name)
    return made, list(made.rows["file_name"]).index(file)

"""Whether images show the masks that they were made under."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sonosynth.artefacts import SyntheticSet
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.masks import resized
from sonosynth.report.figures import Outlined, evenly, outlined
from sonosynth.report.results import Results, Shown
from sonosynth.report.sections.pictures import kept, listed

ALT = {"obedience": "Synthetic images with the outlines of the mask that was asked for and of the lesion that is seen"}
OUTLINED = 6  # images of each set


def shown(results: Results) -> bool:
    """Whether a set was made under masks."""
    return results.obedience is not None


def figures(page: Shown) -> dict[str, Figure]:
    """A row of images of each set with a condition, as far as they may be shown."""
    rows = {}
    for made, places in _chosen(page):
        found = page.observed[made.name]
        seen, table = found.array("seen"), found.table("table")
        assert made.masks is not None
        side = seen.shape[1]
        images, asked = resize(made.pixels[places], side), resized(made.masks[places], side)
        seen = np.unpackbits(np.asarray(seen[places]), axis=-1, count=side)
        dice = [f"{x:.2f}" if pd.notna(x) else "no lesion" for x in table["dice"].iloc[places]]
        titles = [f"{label}\n{x}" for label, x in zip(made.rows["label"].iloc[places], dice, strict=True)]
        rows[made.name] = [Outlined(*one) for one in zip(titles, images, asked, seen, strict=True)]
    return {"obedience": outlined(rows, "asked for", "seen")} if rows else {}


def pictured(page: Shown) -> list[pd.DataFrame]:
    """Which images these are: see `pictures.pictured`."""
    return [
        listed(made, made.rows.iloc[places]).assign(figure="obedience", set=made.name)
        for made, places in _chosen(page)
    ]  # fmt: skip


def _chosen(page: Shown) -> Iterator[tuple[SyntheticSet, np.ndarray]]:
    """Each set that was observed, and some of its usable images, spread evenly over them, not chosen."""
    for made in page.sets:
        if made.name in page.observed:
            places = np.flatnonzero(kept(page, made) & ~made.flawed)
            if len(places):
                yield made, places[evenly(len(places), OUTLINED)]

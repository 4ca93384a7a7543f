"""What the images look like, and how many there are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sonosynth.artefacts import SyntheticSet
from sonosynth.report import withheld
from sonosynth.report.figures import COLOURS, DPI, PAGE, STYLE, Pair, evenly, pairs, wrapped
from sonosynth.report.results import Shown

ALT = {
    "grid": "Grid of images: one row per class, one column for the real images, if they are shown, and one per set",
    "refinement": "Synthetic images, each above its refinement",
    "balance": "Bars: real and synthetic training images of each class",
}
SHOWN = 8
LARGE, MANY = 150, 6  # pixels, classes: above these, a cell of the grid has one picture instead of four
FEWEST = 3  # columns that the grid has room for
REAL = "real"


@dataclass(frozen=True)
class Column:
    """Images that may be shown: the columns `LISTED` of each but the first two, and their pixels (N, H, W) uint8.

    each: how many of them a cell of the grid has, 1 or 4.
    """

    rows: pd.DataFrame
    pixels: np.ndarray
    each: int

    def of(self, label: str) -> np.ndarray:
        """The positions of those of a class that the grid has, spread evenly over all, not chosen."""
        places = np.flatnonzero(self.rows["label"] == label)
        return places[evenly(len(places), self.each)]


def figures(shown: Shown) -> dict[str, Figure]:
    """The grid; a set above its refinement, if there is one; and the balance of the classes."""
    samples = {label for made in shown.sets for label in made.sample_rows["label"]}
    found = {}
    if offered := columns(shown):
        found["grid"] = grid(offered, shown.split.classes, samples)
    if refined := _refined(shown):
        found["refinement"] = pairs(refined.pairs, refined.start, refined.name)
    if shown.sets:
        counts = [shown.split.train["label"].value_counts(), shown.sets[0].rows["label"].value_counts()]
        table = pd.concat(counts, axis=1, keys=["real", "synthetic"]).reindex(shown.split.classes).fillna(0)
        found["balance"] = balance(table, shown.sets[0].name)
    return found


def columns(shown: Shown) -> dict[str, Column]:
    """The columns of the grid: real training images, and each set; of images that the report may show."""
    found = {}
    each = 4 if shown.cohort.pixels.shape[1] <= LARGE and len(shown.split.classes) <= MANY else 1
    if shown.real_images:
        train = shown.split.train
        rows = pd.DataFrame({"label": train["label"], "file": train["id"]}).reset_index(drop=True)
        found[REAL] = Column(rows, np.asarray(shown.cohort.pixels[shown.cohort.rows(train["id"])]), each)
    for made in shown.sets:
        there = kept(shown, made)
        parts = [Column(_listed(shown, made)[there], made.pixels[there], each)] if there.any() else []
        if shown.real_images and len(made.sample_rows):
            parts.append(Column(listed(made, made.sample_rows), made.sample_pixels, each))
        if parts:
            rows = pd.concat([part.rows for part in parts], ignore_index=True)
            found[made.name] = Column(rows, np.concatenate([part.pixels for part in parts]), each)
    return found


def kept(shown: Shown, made: SyntheticSet) -> np.ndarray:
    """Which images (N,) bool of a set the report may show."""
    if shown.real_images:
        return np.ones(len(made.rows), bool)
    return withheld.showable(made, shown.results.declared, shown.results.memorisation)


def _listed(shown: Shown, made: SyntheticSet) -> pd.DataFrame:
    """The images of a set, see `listed`; without real images, no prompt has a patient's values."""
    rows = made.rows if shown.real_images else withheld.without_values(made.rows)
    return listed(made, rows)


def listed(made: SyntheticSet, rows: pd.DataFrame) -> pd.DataFrame:
    """Images of a set, given by rows of its metadata.csv, as `Column` has them."""
    named = {"label": rows["label"], "file": [f"synthetic/{made.name}/{name}" for name in rows["file_name"]]}
    return pd.DataFrame(named | {name: rows[name] for name in ("prompt", "seed", "source") if name in rows})


def pictured(shown: Shown) -> list[pd.DataFrame]:
    """Which pictures are in the grid and among the refinements, and how each was made: some of the columns `LISTED`."""
    parts = [
        column.rows.iloc[column.of(label)].assign(figure="grid", set=name)
        for name, column in columns(shown).items() for label in shown.split.classes
    ]  # fmt: skip
    if refined := _refined(shown):
        parts.append(pd.DataFrame(refined.rows).assign(figure="refinement", set=refined.name))
    return parts


@dataclass(frozen=True)
class _Refined:
    """A set that starts from another: their names, rows of the set as in `Column`, and a pair of pictures for each."""

    start: str
    name: str
    rows: list[dict[str, object]]
    pairs: list[Pair]


def _refined(shown: Shown) -> _Refined | None:
    """Images of the first set that starts from another, spread evenly over it, below those that they were made from.

    None if there is no such set, or no image of it may be shown.
    """
    named = {made.name: made for made in shown.sets}
    for name, start in ((name, named[start]) for name, start in shown.refined.items()):
        made = named[name]
        files = {f"{start.name}/{file}": i for i, file in enumerate(start.rows["file_name"])}
        source, offered, before = list(made.rows["source"]), kept(shown, made), kept(shown, start)
        rows = [i for i, file in enumerate(source) if offered[i] and file in files and before[files[file]]]
        chosen = [rows[place] for place in evenly(len(rows), SHOWN)]
        found = _listed(shown, made).iloc[chosen].to_dict("records")
        if chosen:
            own = [Pair(made.rows["label"][i], start.pixels[files[source[i]]], made.pixels[i]) for i in chosen]
            return _Refined(start.name, name, [{str(k): v for k, v in row.items()} for row in found], own)
    return None


def balance(counts: pd.DataFrame, name: str) -> Figure:
    """Training images and the set `name`: `counts` has the columns real and synthetic, one row per label."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(PAGE, 0.7 + 0.22 * len(counts)))
        labels = [wrapped(label, 30) for label in counts.index]
        axis.barh(labels, counts["real"], color=COLOURS[1], label="real")
        axis.barh(labels, counts["synthetic"], left=counts["real"], color=COLOURS[5], label=f"synthetic ({name})")
        axis.invert_yaxis()
        axis.set_xlabel("training images")
        figure.legend(loc="outside upper right", ncols=2)
    return figure


def grid(sets: Mapping[str, Column], classes: Sequence[str], samples: Collection[str]) -> Figure:
    """Classes by sets, as in the paper's Figure 2, each picture at its own resolution or a whole multiple of it.

    Images are spread evenly over each set. Refined sets show the refinements of the images beside them.

    Args:
        classes: the rows. samples: those whose synthetic images are only shown, not trained on.
    """
    first = next(iter(sets.values()))
    height, width = _mosaic(np.zeros((first.each, *first.pixels.shape[1:]), np.uint8), first.each).shape
    gap = max(2, width // 40)
    zoom = max(1, round((PAGE * DPI / max(len(sets), FEWEST) - gap) / width))
    height, width = zoom * height, zoom * width
    across = max(len(sets), FEWEST) * (width + gap)
    font = STYLE["font.size"] * max(1, across / (PAGE * DPI))
    line = round(1.6 * font * DPI / 72)  # pixels
    titles = {name: wrapped(name, max(6, int(width / (0.62 * font * DPI / 72)))) for name in sets}
    left, top = 2 * line, round((0.8 + max(title.count("\n") + 1 for title in titles.values())) * line)
    size = left + across, top + len(classes) * (height + gap)
    edges = size[0] + 0.1, size[1] + 0.1  # of the figure, which matplotlib rounds down
    with plt.rc_context({"text.parse_math": False}):  # a $ in a label is not a formula
        figure = plt.figure(figsize=(edges[0] / DPI, edges[1] / DPI), dpi=DPI)
        for column, (name, own) in enumerate(sets.items()):
            x = left + column * (width + gap)
            middle = (x + width / 2) / size[0]
            figure.text(middle, 1 - (top - 0.3 * line) / size[1], titles[name], fontsize=font, ha="center", va="bottom")
            for row, label in enumerate(classes):
                y = top + row * (height + gap)
                # A hair within whole pixels: matplotlib rounds up, and would stretch the picture by a pixel.
                corner = (x + 0.01) / edges[0], (size[1] - y - height + 0.01) / edges[1]
                axis = figure.add_axes((*corner, (width - 0.02) / edges[0], (height - 0.02) / edges[1]))
                axis.set_axis_off()
                if len(rows := own.of(label)):
                    grey = _mosaic(own.pixels[rows], own.each)
                    colours = np.repeat(grey[..., None], 3, axis=2)  # a colour map would round
                    axis.imshow(colours, interpolation="nearest", aspect="auto")
        for row, label in enumerate(classes):
            middle = 1 - (top + row * (height + gap) + height / 2) / size[1]
            note = "\n(some synthetic images for display only)" if label in samples else ""
            about = {"fontsize": font, "rotation": 90, "ha": "center", "va": "center"}
            figure.text(0.8 * line / size[0], middle, label, **about)
            figure.text(1.6 * line / size[0], middle, note.strip(), **about | {"fontsize": 0.7 * font})
    return figure


def _mosaic(images: np.ndarray, each: int) -> np.ndarray:
    """Up to four images (N, H, W) as one, two by two with white gaps; a single one alone where cells have one."""
    if each == 1:
        return np.asarray(images[0])
    height, width = images.shape[1:]
    gap = max(1, width // 64)
    canvas = np.full((2 * height + gap, 2 * width + gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // 2) * (height + gap), (i % 2) * (width + gap)
        canvas[y : y + height, x : x + width] = image
    return canvas

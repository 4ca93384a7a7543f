"""The images that those of a set start from: training images, those of another set, or another generator's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from sonosynth import seeding
from sonosynth.artefacts import MASK_SOURCE, CohortImages, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.firewall import Origins
from sonosynth.synthesis import given
from sonosynth.synthesis.described import COLUMN as DESCRIBED
from sonosynth.synthesis.given import Given


@dataclass(frozen=True)
class Starts:
    """Images to start from: names by class, and of each name its position in `pixels` (N, H, W) and its origins.

    described: the training image that each is described as, by name, where one is known. masks: (N, H, W) bool, if they
    are known of all; drawn: by name, what the mask of an image that was made under one comes from, and its origins.
    """

    names: dict[str, list[str]]
    place: dict[str, int]
    pixels: np.ndarray
    origins: Origins
    described: Mapping[str, str] = field(default_factory=dict)
    masks: np.ndarray | None = None
    drawn: Mapping[str, tuple[str, frozenset[str]]] = field(default_factory=dict)


def of_training_images(
    seed: int, cohort: CohortImages, train: pd.DataFrame, masks: CohortMasks | None, *, across: bool
) -> Starts:
    """Training images, each class in a random order of its own; `across`: for each class, those of the others.

    Of several other classes, images take turns.

    Args:
        train: their rows of cohort.csv. masks: of the cohort, known of all of them; None if they don't matter.
    """
    rows = cohort.rows(train["id"])
    place = dict(zip(train["id"], range(len(rows)), strict=True))
    names = {}
    for label in sorted(set(train["label"])):
        ids = list(train["id"][train["label"] == label])
        order = seeding.numpy_generator(seed, "variation", label).permutation(len(ids))
        names[label] = [ids[i] for i in order]
    if across:
        others = {label: [own for other, own in names.items() if other != label] for label in names}
        longest = max(map(len, names.values()))
        names = {k: [ids[i % len(ids)] for i in range(longest) for ids in own] for k, own in others.items()}
    return Starts(
        names, place, np.asarray(cohort.pixels[rows]), cohort.origins(rows), {name: name for name in place},
        np.asarray(masks.squares[masks.places(train["id"])]) if masks else None,
    )  # fmt: skip


def of_given(images: Given, side: int, name: str, classes: Sequence[str]) -> Starts:
    """The images of another generator, for the set `name`."""
    pixels = given.decode(images, side, name)
    names = {label: [file for file in images.files if given.label_of(file) == label] for label in classes}
    own = Origins(
        frozenset(), (frozenset(),) * len(images.files)
    )  # one by one it is not known what they were made from
    return Starts(names, {file: i for i, file in enumerate(images.files)}, pixels, own)


def of_set(source: SyntheticSet, classes: Sequence[str]) -> tuple[Starts, dict[str, int]]:
    """The usable images of a set, and its samples for classes that it lacks; how many of each class it has."""
    usable = np.flatnonzero(~source.flawed)
    rows, further = source.rows.iloc[usable], source.sample_rows
    files = [f"{source.name}/{name}" for name in (*rows["file_name"], *further["file_name"])]
    labels = [*rows["label"], *further["label"]]
    names = {label: [file for file, own in zip(files, labels, strict=True) if own == label] for label in classes}
    own = source.origins.choose(usable) + source.sample_origins
    models = [*rows.get(DESCRIBED, ()), *further.get(DESCRIBED, ())]
    place, of = {file: i for i, file in enumerate(files)}, dict(zip(files, models, strict=False))
    starts = Starts(names, place, _joined(source.pixels[usable], source.sample_pixels), own, of)
    if (masks := source.masks) is not None and (of_samples := source.sample_masks) is not None:
        of_images, further_origins = source.mask_origins
        origins = [*(of_images[row] for row in usable), *further_origins]
        came = zip((*rows[MASK_SOURCE], *further[MASK_SOURCE]), origins, strict=True)
        drawn = dict(zip(files, came, strict=True))
        starts = replace(starts, masks=_joined(masks[usable], of_samples).astype(bool), drawn=drawn)
    return starts, {label: int((rows["label"] == label).sum()) for label in classes}


def _joined(*parts: np.ndarray) -> np.ndarray:
    """Arrays (n, H, W) one after the other; empty ones may have other sides."""
    return np.concatenate([part for part in parts if len(part)])

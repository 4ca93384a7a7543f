"""The jobs that find out whether the images of a set show the masks that they were made under.

What a segmenter sees in a synthetic image depends on the image, and on how well it sees at all. So beside the Dice of a
set stand that of real validation images, by the same segmenters, and that of exchanged masks: what is seen in an image
against the masks of others of its class, which is what disobedient images of lesions in the usual place would get.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk
from sonosynth.artefacts import Artefact, CohortImages, Split, SyntheticSet
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.masks import resized
from sonosynth.cohort.split import crossing
from sonosynth.evidence.overlap import dice, exchanged, lesions
from sonosynth.tasks.cross_fitting import judges
from sonosynth.tasks.segmentation.observers import Observers

VERSION = 2
COLUMNS = [
    "set", "draw", "split", "generator", "image", "label", "usable", "asked", "seen", "dice", "exchanged", "nothing",
    "unmatched", "known",
]  # fmt: skip
"""Of obedience.csv. asked, seen: the share of the image that is lesion in the mask that was asked for (of a real image:
drawn), and in what is seen. dice: of both, empty if nothing was asked for. exchanged: the mean Dice with the masks of
others of the class, likewise. nothing: the share of observers that see no lesion. unmatched: lesions that are seen and
match none that was asked for (`overlap.lesions`), per observer. known: whether every observer was trained on the image
that it was made from or on the one whose mask it was made under: those judge that were not trained on the former."""


@dataclass(frozen=True)
class Observing:
    """name: the set's, or `REAL`. draw, split, generator: as in predictions.csv."""

    name: str
    draw: int
    split: int
    generator: str


def observe_set(settings: Observing, *, split: Split, images: SyntheticSet, observers: Artefact, work: Path) -> None:
    """What observers see in the images of a set: makes table (`COLUMNS`) and seen (.npy).

    seen has what at least half of those see that may judge an image, (N, S, S) bits packed along the last axis.

    Raises:
        UserError: if the observers were trained on a scored image.
    """
    assert images.masks is not None
    about = {name: images.rows[column].to_numpy(str) for name, column in (("image", "file_name"), ("label", "label"))}
    about["usable"] = ~images.flawed
    origins = images.origins.own, images.mask_origins[0]
    _observe(settings, Observers.open(observers, split), images.pixels, images.masks, origins, about, work)


def observe_real(
    settings: Observing, *, cohort: CohortImages, masks: CohortMasks, split: Split, observers: Artefact, work: Path
) -> None:
    """The same of the real validation images whose masks are known, without near-duplicates of training images."""
    alike = {name for pair in crossing(split.rows, cohort.twins) for name in pair}
    side = split.validation
    side = side[masks.known(side["id"]) & ~side["id"].isin(alike).to_numpy()]
    rows = cohort.rows(side["id"])
    about = {"image": side["id"].to_numpy(str), "label": side["label"].to_numpy(str)}
    about["usable"] = np.ones(len(side), bool)
    pixels, drawn = np.asarray(cohort.pixels[rows]), np.asarray(masks.squares[rows])
    _observe(settings, Observers.open(observers, split), pixels, drawn, (cohort.origins(rows).own, ()), about, work)


def _observe(
    settings: Observing, observers: Observers, images: np.ndarray, masks: np.ndarray,
    origins: tuple[Sequence[frozenset[str]], Sequence[frozenset[str]]], about: Mapping[str, np.ndarray], work: Path,
) -> None:  # fmt: skip
    """Args: about: the columns image, label and usable of N images and masks (N, H, W); origins: of these."""
    asked, seen = resized(masks, observers.side), observers.seen(images)
    judging, clean = judges(observers.folds, *origins)
    share = judging / judging.sum(axis=0)  # of each observer in the means over those that may judge an image
    pairs = [list(zip(asked, own, strict=True)) for own in seen]
    values = {
        "seen": seen.mean(axis=(2, 3)),
        "dice": np.array([[dice(*pair) for pair in own] for own in pairs]),
        "exchanged": np.array([exchanged(asked, own, about["label"]) for own in seen]),
        "nothing": ~seen.any(axis=(2, 3)),
        "unmatched": np.array([[lesions(*pair).false for pair in own] for own in pairs]),
    }
    table = pd.DataFrame(
        {
            "set": settings.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator,
            **about, "asked": asked.mean(axis=(1, 2)),
            **{name: (found.reshape(judging.shape) * share).sum(axis=0) for name, found in values.items()},
            "known": ~clean,
        }
    )[COLUMNS]  # fmt: skip
    disk.write_text(work / "table", table.to_csv(index=False))
    most = np.einsum("kn,knhw->nhw", share, seen) >= 0.5
    disk.write_array(work / "seen", np.packbits(most, axis=-1))

"""The job that decodes the masks of a cohort."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, progress
from sonosynth.artefacts import Artefact, CohortImages
from sonosynth.cohort import settings as sections
from sonosynth.cohort.decoding import AS_STORED
from sonosynth.cohort.masks import read_mask, to_square
from sonosynth.cohort.reading import Files, Stamp, check_unchanged
from sonosynth.cohort.sources import Source
from sonosynth.errors import UserError
from sonosynth.parallel import in_threads

VERSION = 1


class Masks(Artefact):
    """The masks of the cohort's images, as `decode_masks` makes them."""

    @cached_property
    def pixels(self) -> np.ndarray:
        """(N, S, S) uint8, 1 where a lesion is, in the order of `CohortImages.images`."""
        return self.array("pixels")

    @cached_property
    def known(self) -> np.ndarray:
        """Of which images (N,) bool the mask is known; where it isn't, `pixels` are 0."""
        return self.table("known", "id")["known"].to_numpy(bool)


@dataclass(frozen=True)
class Masking:
    """files: the cohort's. side: that of the square masks, pixels. how: values of parts become grey. empty: the labels
    whose images have an empty mask where they have no file.
    """

    files: Files
    side: int
    how: sections.Reading = AS_STORED
    empty: tuple[str, ...] = ()


def decode_masks(settings: Masking, *, cohort: CohortImages, work: Path) -> None:
    """Decode the masks of the images: makes pixels (.npy) and known (a table), see `Masks`.

    A mask whose lesion is too small for square masks is not known.

    Raises:
        UserError: if no image has a lesion in its mask.
    """
    images = cohort.images
    sizes = dict(zip(images["id"], zip(images["height"], images["width"], strict=True), strict=True))
    wanted = [
        (source, stamp, sizes[source.id], settings)
        for source, stamp in zip(settings.files.sources, settings.files.stamps, strict=True) if source.id in sizes
    ]  # fmt: skip
    pixels = np.zeros((len(sizes), settings.side, settings.side), np.uint8)
    lost = np.zeros(len(sizes), bool)
    for place, (mask, shows) in enumerate(in_threads(_decode, wanted)):
        pixels[place], lost[place] = mask, shows and not mask.any()
    labels = images["label"]
    known = ((images["mask"] != "") | labels.isin(settings.empty)).to_numpy() & ~lost
    if not pixels.any():
        raise without_lesions(settings.files)
    if lost.any():
        progress.warn(
            f"too small at {settings.side} pixels: the lesions of {lost.sum()} images, which are not segmented"
        )
    if (without := ~known & ~lost).any():
        counts = ", ".join(f"{n} {label}" for label, n in sorted(labels[without].value_counts().items()))
        progress.warn(f"without a mask: {counts}; not segmented. If a class shows no lesions, name it in masks.empty")
    disk.write_array(work / "pixels", pixels)
    disk.write_text(work / "known", pd.DataFrame({"id": images["id"], "known": known}).to_csv(index=False))


def without_lesions(files: Files) -> UserError:
    """The error that a cohort has no masks with a lesion."""
    return UserError(
        f"tasks: segmentation, but no image of the cohort {files.path} has a mask that shows a lesion",
        "masks of lesions beside the images (X_mask beside X), in a folder masks, or in a table's column mask",
        "give tasks=[classification], or the masks",
    )


def _decode(wanted: tuple[Source, Stamp, tuple[int, int], Masking]) -> tuple[np.ndarray, bool]:
    """A square mask, and whether the mask shows a lesion in its own size."""
    source, stamp, shape, settings = wanted
    check_unchanged(source, stamp)
    if not source.masks:
        return np.zeros((settings.side, settings.side), np.uint8), False
    mask = read_mask(source.masks, shape, settings.how)
    return to_square(mask, settings.side), bool(mask.any())

"""The job that decodes the masks of a cohort, once for all that is learned from, made from or scored by them."""

from collections.abc import Sequence
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
from sonosynth.errors import UserError, first_line
from sonosynth.firewall import Origins
from sonosynth.parallel import in_threads

VERSION = 2


class CohortMasks(Artefact):
    """The lesion masks of the cohort, as `decode` makes them."""

    @cached_property
    def rows(self) -> pd.DataFrame:
        """id, sha256 and label of each image, in the order of `CohortImages.images`, and whether its mask is known."""
        return self.table("table", "id", "sha256", "label")

    @cached_property
    def squares(self) -> np.ndarray:
        """(N, S, S) bool, true on the lesion, in the order of `rows`; all false where the mask is not known."""
        return self.array("masks")

    @cached_property
    def shown(self) -> np.ndarray:
        """Whether each mask shows a lesion: (N,) bool."""
        return np.asarray(self.squares.any(axis=(1, 2)))

    def places(self, ids: pd.Series) -> np.ndarray:
        """The positions (n,) of the masks of some images, by id."""
        place = pd.Series(range(len(self.rows)), index=self.rows["id"])
        return place[ids].to_numpy(int)

    def known(self, ids: pd.Series) -> np.ndarray:
        """Whether the masks of some images are known, by id: (n,) bool."""
        return self.rows["known"].to_numpy(bool)[self.places(ids)]

    def origins(self, rows: np.ndarray) -> Origins:
        """The origins of the masks at `rows`: the images that they are of."""
        return Origins.of_images(self.rows["sha256"].iloc[rows])


@dataclass(frozen=True)
class ReadingMasks:
    """files: the cohort's. side: that of the square masks, pixels. empty: as in `settings.Masks`. how: as for the
    images.
    """

    files: Files
    side: int
    empty: tuple[str, ...] = ()
    how: sections.Reading = AS_STORED


def check(files: Files, empty: Sequence[str]) -> None:
    """Check that a cohort has masks of lesions, as far as that is known before anything is decoded.

    Args:
        empty: as in `settings.Masks`.

    Raises:
        UserError: if no image has a mask, or a class without lesions is not there.
    """
    if unknown := sorted({*empty} - {*files.labels}):
        raise UserError(
            f"masks.empty: the cohort has no class {first_line(', '.join(unknown))}", f"of {', '.join(files.labels)}"
        )
    if not any(source.masks for source in files.sources):
        raise without_lesions(files)


def check_every_class(files: Files, empty: Sequence[str]) -> None:
    """Raise UserError unless every class has masks, or is one of those without lesions."""
    masked = {source.label for source in files.sources if source.masks}
    if missing := [label for label in files.labels if label not in masked and label not in empty]:
        raise UserError(
            f"cohort {files.path}: no image of {', '.join(missing)} has a mask file",
            "masks for some images of every class, black ones where there is no lesion",
            f"if these images show no lesion: masks.empty=[{', '.join(missing)}]",
        )


def without_lesions(files: Files) -> UserError:
    """The error that a cohort has no masks with a lesion."""
    return UserError(
        f"cohort {files.path}: no image has a mask that shows a lesion; adapters with a control learn from such masks,"
        " and so do segmenters",
        "masks beside the images (X_mask.png for X.png), in folders of their own, or in the table's column mask",
        "`sonosynth inspect` says which masks it finds; without any, remove `control` from the adapters, and"
        " segmentation from the tasks",
    )


def decode(settings: ReadingMasks, *, cohort: CohortImages, work: Path) -> None:
    """Decode every mask once: makes masks, (N, S, S) bool (.npy), and table, as `CohortMasks` reads them.

    The images of a cohort whose masks can't be used are not in it any more.

    Raises:
        UserError: if no mask shows a lesion, or a file has changed since the images were read.
    """
    images = cohort.images
    files = zip(settings.files.sources, settings.files.stamps, strict=True)
    found = {source.id: (source, stamp) for source, stamp in files}
    shapes = zip(images["height"].astype(int), images["width"].astype(int), strict=True)
    wanted = [(*found[name], shape, settings) for name, shape in zip(images["id"], shapes, strict=True)]
    squares = np.empty((len(images), settings.side, settings.side), bool)
    with progress.task("reading masks", len(images)) as bar:
        for row, square in enumerate(in_threads(_decode, wanted)):
            squares[row] = square
            bar.advance()
    if not squares.any():
        raise without_lesions(settings.files)
    labels = images["label"]
    known = ((images["mask"] != "") | labels.isin(settings.empty)).to_numpy()
    counts = pd.Series(squares.any(axis=(1, 2))).groupby(labels.to_numpy()).sum()
    progress.say("masks: a lesion in " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    if not known.all():
        left = ", ".join(f"{n} {label}" for label, n in sorted(labels[~known].value_counts().items()))
        progress.warn(
            f"without a mask: {left}; nothing is learned from these images as pairs, and they are not segmented. If a"
            " class shows no lesions, name it in masks.empty"
        )
    table = images[["id", "sha256", "label"]].assign(known=known)
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_array(work / "masks", squares)


def _decode(wanted: tuple[Source, Stamp, tuple[int, int], ReadingMasks]) -> np.ndarray:
    source, stamp, shape, settings = wanted
    check_unchanged(source, stamp)
    return to_square(read_mask(source.masks, shape, settings.how), settings.side)

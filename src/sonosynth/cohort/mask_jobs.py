"""The job that decodes the masks of a cohort, once for all that is learned from them and made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sonosynth import disk, progress
from sonosynth.artefacts import Artefact, CohortImages
from sonosynth.cohort import settings as sections
from sonosynth.cohort.decoding import AS_STORED, Unusable
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.places import Place
from sonosynth.cohort.reading import Files
from sonosynth.errors import UserError, first_line
from sonosynth.firewall import Origins
from sonosynth.parallel import in_threads

VERSION = 1


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
    """Raise UserError unless every class has masks, or is one of those without lesions."""
    masked = {source.label for source in files.sources if source.masks}
    check_empty(empty, files.labels)
    if not masked:
        raise UserError(
            f"cohort {files.path}: has no lesion masks, and adapters with a control learn from them",
            "masks beside the images (X_mask.png for X.png), in folders of their own, or in the table's column mask",
            "`sonosynth inspect` says which masks it finds; or remove `control` from the adapters",
        )
    if missing := [label for label in files.labels if label not in masked and label not in empty]:
        raise UserError(
            f"cohort {files.path}: no image of {', '.join(missing)} has a mask file",
            "masks for some images of every class, black ones where there is no lesion",
            f"if these images show no lesion: masks.empty=[{', '.join(missing)}]",
        )


def check_empty(empty: Sequence[str], labels: Sequence[str]) -> None:
    """Raise UserError unless the classes without lesions are among the `labels`."""
    if unknown := sorted({*empty} - {*labels}):
        raise UserError(
            f"masks.empty: the cohort has no class {first_line(', '.join(unknown))}", f"of {', '.join(labels)}"
        )


def decode(settings: ReadingMasks, *, cohort: CohortImages, work: Path) -> None:
    """Decode every mask once: makes masks, (N, S, S) bool (.npy), and table, as `CohortMasks` reads them.

    The images of a cohort whose masks can't be used are not in it any more.
    """
    places = {source.id: source.masks for source in settings.files.sources}
    images = cohort.images
    shapes = zip(images["height"].astype(int), images["width"].astype(int), strict=True)

    def one(wanted: tuple[Sequence[Place], tuple[int, int]]) -> np.ndarray:
        masks, shape = wanted
        try:
            return to_square(read_mask(masks, shape, settings.how), settings.side)
        except (Unusable, OSError) as error:  # with its image, it could be used
            raise UserError(
                f"cohort {settings.files.path}: a mask has changed since the images were read ({first_line(error)})",
                fix="run the command again",
            ) from None

    wanted = [(places[name], shape) for name, shape in zip(images["id"], shapes, strict=True)]
    squares = np.empty((len(images), settings.side, settings.side), bool)
    with progress.task("reading masks", len(images)) as bar:
        for row, square in enumerate(in_threads(one, wanted)):
            squares[row] = square
            bar.advance()
    known = [bool(places[name]) for name in images["id"]] | images["label"].isin(settings.empty).to_numpy()
    table = images[["id", "sha256", "label"]].assign(known=known)
    counts = pd.Series(squares.any(axis=(1, 2))).groupby(table["label"]).sum()
    progress.say("masks: a lesion in " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    if left := int((~known).sum()):
        progress.say(f"masks: {left} images are not annotated; no control learns from them")
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_array(work / "masks", squares)


def to_square(mask: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool of a mask (H, W), resized as its image: where the lesion covers half of a pixel or more.

    Of a lesion that covers half of none, the pixel remains that it covers most of.
    """
    if mask.shape == (side, side):
        return mask
    grey = Image.fromarray(mask.astype(np.float32))
    covered = np.asarray(grey.resize((side, side), Image.Resampling.BOX))
    square: np.ndarray = covered >= 0.5
    return square if square.any() or not mask.any() else covered == covered.max()

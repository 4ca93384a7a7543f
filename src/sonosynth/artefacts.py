"""What jobs make, as typed handles: each gets the verified files of a finished job, and reads them on demand."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
from PIL import Image

from sonosynth.firewall import Origins
from sonosynth.jobs import Made

MASK_FILE = "mask_file_name"  # column of a set's metadata.csv
MASK_SOURCE = "mask_source"  # likewise: what the mask of an image was made from
TRAIN, INNER, VALIDATION, SEALED = "train", "inner", "validation", "sealed"


@dataclass(frozen=True)
class Artefact:
    """What a job made, of no particular kind; its roles are in the docstring of the job's function."""

    made: Made

    def place(self, role: str) -> Path:
        """The file or folder of a role."""
        return self.made.places[role]

    def json(self, role: str) -> dict[str, Any]:
        """The mapping in a JSON file."""
        return dict(json.loads(self.place(role).read_text(encoding="utf-8")))

    def table(self, role: str = "table", *text: str) -> pd.DataFrame:
        """A CSV whose columns `text`, where it has them, are text, whatever they look like; the others may be NaN."""
        return _read(self.place(role), *text)

    def array(self, role: str) -> np.ndarray:
        """A NumPy array, memory-mapped."""
        return _mapped(self.place(role))


class CohortImages(Artefact):
    """The images of the cohort, as `cohort.jobs.decode` makes them."""

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row per usable image, ordered by id: see `cohort.reading.Cohort`."""
        text = ("id", "file", "sha256", "label", "mask", "group", "given", "pixels", "mode", "marks")
        return self.table("images", *text)

    @cached_property
    def own(self) -> pd.DataFrame:
        """id of each image, in the same order, and the further columns that the cohort has; every column is text."""
        return pd.read_csv(self.place("own"), dtype=str, keep_default_na=False)

    @cached_property
    def twins(self) -> pd.DataFrame:
        """All pairs of near-duplicates."""
        return self.table("twins", "id", "twin")

    @cached_property
    def pixels(self) -> np.ndarray:
        """(N, S, S) uint8, in the order of `images`."""
        return self.array("pixels")

    @cached_property
    def about(self) -> dict[str, Any]:
        """simulated, problems, adjacent and traits (rows as `Adjacent` and `Trait` of `cohort` describe themselves)."""
        return self.json("about")

    def rows(self, ids: pd.Series) -> np.ndarray:
        """The positions (n,) of images, by id."""
        place = pd.Series(range(len(self.images)), index=self.images["id"])
        return place[ids].to_numpy()

    def groups(self, ids: pd.Series) -> int:
        """How many of the groups that the cohort names some images are of, by id."""
        return len({*self.images["group"].iloc[self.rows(ids)]} - {""})

    def origins(self, rows: np.ndarray) -> Origins:
        """The origins of the images at `rows`: the images themselves."""
        return Origins.of_images(self.images["sha256"].iloc[rows])


def group_names(images: pd.DataFrame) -> pd.Series:
    """The group of each row of cohort.csv; an image that stands alone is named by its id."""
    return images["group"].where(images["group"] != "", images["id"])


class Split(Artefact):
    """One assignment of the images to training and validation: cohort.csv.

    With `classifier.selection: inner`, or an arm that is `best_of` others, there is an inner side, too: nothing is
    trained on it, and it chooses the epoch, or among these.
    With `split.sealed` there is a sealed side, the same in all splits: nothing but `sonosynth unseal` may score it.
    """

    @cached_property
    def rows(self) -> pd.DataFrame:
        """All rows of cohort.csv; every column is text."""
        return pd.read_csv(self.place("table"), dtype=str, keep_default_na=False)

    @cached_property
    def excluded(self) -> pd.DataFrame:
        """How many images are in no split: label ("" if it is not known), reason, images."""
        return self.table("excluded", "label", "reason")

    @property
    def used(self) -> pd.DataFrame:
        """The rows that are neither excluded nor sealed."""
        return self.rows[(self.rows["excluded"] == "") & (self.rows["split"] != SEALED)]

    @property
    def train(self) -> pd.DataFrame:
        """The training rows."""
        return self.rows[self.rows["split"] == TRAIN]

    @property
    def inner(self) -> pd.DataFrame:
        """The inner rows, if any."""
        return self.rows[self.rows["split"] == INNER]

    @property
    def validation(self) -> pd.DataFrame:
        """The validation rows."""
        return self.rows[self.rows["split"] == VALIDATION]

    @property
    def sealed(self) -> pd.DataFrame:
        """The sealed rows, if any."""
        return self.rows[self.rows["split"] == SEALED]

    def visible(self, *, leaks: bool) -> pd.DataFrame:
        """The rows that a generator may see: the training rows, or all that are used if it `leaks`."""
        return self.used if leaks else self.train

    @property
    def classes(self) -> list[str]:
        """The labels, sorted."""
        return sorted(set(self.used["label"]))

    @property
    def scored(self) -> frozenset[str]:
        """The SHA-256s of the validation, inner and sealed images: no training may have them among its origins."""
        return self.forbidden(leaks=False)

    def forbidden(self, *, leaks: bool) -> frozenset[str]:
        """As `scored`; of the sealed images alone if the generator `leaks`, that is, may see the others."""
        sides = [self.sealed] if leaks else [self.validation, self.inner, self.sealed]
        return frozenset().union(*(side["sha256"] for side in sides))


class Adapter(Artefact):
    """Learned tokens, a LoRA, or both, or a U-Net, and perhaps a control, in a folder that diffusers loads."""

    @property
    def folder(self) -> Path:
        """Its folder, which has its name."""
        return self.place("adapter")

    @cached_property
    def about(self) -> dict[str, Any]:
        """adapter.json: what was learned, and from which images."""
        return dict(json.loads((self.folder / "adapter.json").read_text(encoding="utf-8")))

    @property
    def origins(self) -> frozenset[str]:
        """The images that it was learned from."""
        return frozenset(self.about["images"])

    @property
    def losses(self) -> pd.DataFrame:
        """part (token, lora, unet or control), step, loss; label: the class of a token that is of one, else ""."""
        found = _read(self.folder / "losses.csv", "part", "label")
        return found if "label" in found else found.assign(label="")


class SyntheticSet(Artefact):
    """A set of synthetic images, as `synthesis.jobs.make` makes it.

    samples are images of classes that the set otherwise lacks: to look at, never to train on.
    """

    @property
    def name(self) -> str:
        """The name that the settings give it."""
        return self.place("images").name

    @cached_property
    def rows(self) -> pd.DataFrame:
        """metadata.csv."""
        return _metadata(self.place("images"))

    @cached_property
    def pixels(self) -> np.ndarray:
        """(N, H, W) uint8, in the order of `rows`."""
        return self.array("pixels")

    @cached_property
    def masks(self) -> np.ndarray | None:
        """(N, H, W) uint8, 1 where a lesion is, 0 all over where `rows` name no file; None for a set without masks."""
        return _masks(self.place("images"), self.rows, self.pixels)

    @cached_property
    def sample_masks(self) -> np.ndarray | None:
        """Those of the samples, (n, H, W) uint8, likewise."""
        return _masks(self.place("samples"), self.sample_rows, self.sample_pixels)

    @property
    def masked(self) -> np.ndarray:
        """Of which images (N,) bool the mask is known, if the set has masks: those with a file."""
        return (self.rows[MASK_FILE] != "").to_numpy()

    @cached_property
    def sample_rows(self) -> pd.DataFrame:
        """metadata.csv of the samples."""
        return _metadata(self.place("samples"))

    @cached_property
    def sample_pixels(self) -> np.ndarray:
        """(n, H, W) uint8, in the order of `sample_rows`."""
        return _mapped(self.place("samples") / "pixels.npy")

    @cached_property
    def origins(self) -> Origins:
        """The origins of the images, row by row."""
        return self._origins("own", len(self.rows))

    @cached_property
    def mask_origins(self) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
        """The images that the masks of its images, and of its samples, come from, row by row."""
        images, samples = (list(map(frozenset, part)) for part in self.json("origins")["masks"])
        return images, samples

    @cached_property
    def sample_origins(self) -> Origins:
        """The origins of the samples, row by row."""
        return self._origins("samples", len(self.sample_rows))

    def _origins(self, which: str, count: int) -> Origins:
        stored = self.json("origins")
        return Origins(frozenset(stored["shared"]), tuple(map(frozenset, stored[which])) or (frozenset[str](),) * count)

    @property
    def files(self) -> list[str]:
        """The SHA-256 of each image's file, in the order of `rows`."""
        return [self.made.files[f"images/{name}"] for name in self.rows["file_name"]]

    @property
    def real(self) -> bool:
        """Whether its images were computed from real ones: from their pixels, not through the training of a model."""
        return bool(self.json("origins")["real"])

    @property
    def negative_control(self) -> bool:
        """Whether it is a negative control, which may copy training images; False for a set without images."""
        return bool(self.rows["negative_control"].any())

    @property
    def flawed(self) -> np.ndarray:
        """Which images (N,) bool showed nothing new in the last attempt: no classifier is trained on them."""
        return (self.rows["flaw"] != "").to_numpy()


class Description(Artefact):
    """The values of a measure for every image of a set or of the cohort."""

    @cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Values (N, ...) by name, one row per image; none for an empty set."""
        return dict(safetensors.numpy.load_file(self.place("values")))


def _metadata(folder: Path) -> pd.DataFrame:
    named = ("file_name", "label", "prompt", "source", "flaw", "described", MASK_FILE, MASK_SOURCE)
    return _read(folder / "metadata.csv", *named)


def _masks(folder: Path, rows: pd.DataFrame, pixels: np.ndarray) -> np.ndarray | None:
    if MASK_FILE not in rows:
        return None
    masks = np.zeros(pixels.shape, np.uint8)
    for mask, name in zip(masks, rows[MASK_FILE], strict=True):
        if name:
            with Image.open(folder / name, formats=["PNG"]) as file:
                mask[:] = np.asarray(file.convert("L")) != 0
    return masks


def _read(path: Path, *text: str) -> pd.DataFrame:
    found = pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])
    return found.fillna(dict.fromkeys(text, ""))


def _mapped(path: Path) -> np.ndarray:
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found

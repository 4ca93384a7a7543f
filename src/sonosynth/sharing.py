"""What of a run is given away, and what is held back: facts, as the forms in `exports/` get them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from sonosynth.artefacts import Adapter, SyntheticSet
from sonosynth.modality import Modality


class Kind(StrEnum):
    """What can be exported."""

    IMAGES = "images"
    LORA = "lora"  # or a token, or both
    UNET = "unet"


class Reason(StrEnum):
    """Why something is not exported."""

    CONTROL = "a control, which may repeat training images and is not meant to help"
    REAL = "made from patients' images"
    VERBATIM = "refused: some of its images are training images"
    COPIES = "refused: too many of its images are copies of training images"
    COPIED_FROM = "an adapter of a set that was refused as copies"
    COPY = "flagged as copies of training images"
    FOREIGN = "images of another generator, whose terms of use are not known here"
    EMPTY = "has no usable image"
    UNFIT = "a whole U-Net, not a LoRA: --to hub exports it"


FINAL = (Reason.EMPTY, Reason.UNFIT)
"""Reasons against which no force helps."""


@dataclass(frozen=True)
class LeftOut:
    """A set or an adapter, why it is left out, and, if only some of a set's images are, how many."""

    what: str
    reason: Reason
    images: int = 0


@dataclass(frozen=True)
class SharedSet:
    """A set of synthetic images.

    kept: positions (N,) of the images that are exported. kind: a file in `sets/`. start: noise or the set that it
    started from. adapter: its name, "" without. searched, flagged, verbatim: how many of its images were compared with
    training images, how many count as copies, and how many as the same picture. verdicts: a sentence on each arm with
    the set. forced: the reasons for which it would have been held back.
    """

    made: SyntheticSet
    kept: np.ndarray
    kind: str
    start: str
    adapter: str
    searched: int
    flagged: int
    verbatim: int
    verdicts: tuple[str, ...]
    forced: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class SharedAdapter:
    """An adapter.

    kind: LORA or UNET. prompts: of each label, without the token. tokens: that of each label, None where there is none.
    learned: the settings of its training, by section. forced: as in `SharedSet`.
    """

    made: Adapter
    kind: Kind
    prompts: Mapping[str, str]
    tokens: Mapping[str, str | None]
    learned: Mapping[str, Mapping[str, Any]]
    forced: tuple[Reason, ...] = ()

    @property
    def name(self) -> str:
        """The name that the settings give it."""
        return self.made.folder.name


@dataclass(frozen=True)
class Origin:
    """The run that everything comes from.

    base: a hub id, `embedded`, or "" for a folder of somebody's machine; with its digest. cohort: a digest of its
    images, labels, groups and masks. training: the number of training images of each class. repeats: splits and
    generators of the study; what is exported is of the first. sampling: the settings of the section `synthesis`.
    versions: of packages, by name.
    """

    base: str
    base_digest: str
    cohort: str
    simulated: bool
    training: Mapping[str, int]
    modality: Modality
    resolution: int
    repeats: int
    leaks: bool
    sampling: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Shared:
    """What is exported, what is not, and where it comes from."""

    sets: Sequence[SharedSet]
    adapters: Sequence[SharedAdapter]
    left_out: Sequence[LeftOut]
    origin: Origin

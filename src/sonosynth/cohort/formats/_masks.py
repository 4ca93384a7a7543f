"""Which files are masks, and of which images, by the names of files and folders."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IMAGE_FOLDERS = {"image", "images", "imagestr", "imagests", "img", "imgs"}
MASK_FOLDERS = {
    "annotation", "annotations", "ground truth", "ground_truth", "groundtruth", "gt", "label", "labels",
    "labelstr", "labelsts", "mask",
    "masks", "seg", "segmentation", "segmentation_masks", "segmentations", "segs",
}  # fmt: skip
"""Folders that say what their files are, in any case, and nothing about the class."""
AFTER = re.compile(r"^(?P<image>.+)[_-](?P<word>annotation|gt|label|mask|seg|segmentation)([_-]?\d+)?$", re.IGNORECASE)
BEFORE = re.compile(r"^(annotation|gt|label|mask|seg|segmentation)[_-](?P<image>.+)$", re.IGNORECASE)
NUMBERED = re.compile(r"^(?P<image>.+)[_-]\d+$")

Key = tuple[tuple[str, ...], str]
"""The folders and the stem of an image."""


@dataclass(frozen=True)
class Named:
    """What the name of a file says. folders: without those that only say what their files are. stem: without ending.
    is_mask: whether its folder says so.
    """

    folders: tuple[str, ...]
    stem: str
    is_mask: bool

    @property
    def key(self) -> Key:
        """Of an image of that name."""
        return self.folders, self.stem


@dataclass
class Pairs:
    """images: in their order. masks: of images, by their key. lost: masks without an image. apart: whether some masks
    lie in folders of their own.
    """

    images: list[Path] = field(default_factory=list)
    masks: dict[Key, list[Path]] = field(default_factory=lambda: defaultdict(list))
    lost: list[Path] = field(default_factory=list)
    apart: bool = False


def named(folders: Sequence[str], stem: str) -> Named:
    """The name of a file in these folders."""
    words = [folder.lower() for folder in folders]
    kept = tuple(x for x, word in zip(folders, words, strict=True) if word not in IMAGE_FOLDERS | MASK_FOLDERS)
    return Named(kept, stem, any(word in MASK_FOLDERS for word in words))


def paired(files: Mapping[Path, Named]) -> Pairs:
    """Tell images from masks, and find the image of each mask.

    Beside images, X_mask, X_mask_1, X_gt, X_seg and the like are masks of X. In a folder for masks, that of X may also
    be called X, X_1 or mask_X, and `mask_7` belongs to `scan_7` if there is no other image that ends so.
    """
    found = Pairs()
    outside = {file: name for file, name in files.items() if not name.is_mask}
    there = {name.key for name in outside.values()}
    of: dict[Path, Key] = {}
    for file, name in outside.items():
        match = AFTER.match(name.stem)
        if match and (name.folders, match["image"]) in there:
            of[file] = name.folders, match["image"]
        elif match and match["word"].lower() == "mask":
            found.lost.append(file)
        else:
            found.images.append(file)
    known = _Known([files[file].key for file in found.images])
    for file in (file for file, name in files.items() if name.is_mask):
        if key := known.image_of(files[file]):
            of[file] = key
            found.apart = True
        else:
            found.lost.append(file)
    for file in files:  # in their order, whichever folder they are in
        if file in of:
            found.masks[of[file]].append(file)
    return found


class _Known:
    """The images of which masks are sought."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = set(keys)
        self.of_stem, self.of_end = defaultdict(set), defaultdict(set)
        for folders, stem in keys:
            self.of_stem[stem].add((folders, stem))
            self.of_end[re.split("[_-]", stem, maxsplit=1)[-1]].add((folders, stem))

    def image_of(self, mask: Named) -> Key | None:
        """The image of a mask from a folder for masks: in the same folders, else the only one above or below them."""
        for stem in _stems(mask.stem):
            if (mask.folders, stem) in self.keys:
                return mask.folders, stem
            if key := _only(self.of_stem[stem], mask.folders):
                return key
        match = BEFORE.match(mask.stem)
        return _only(self.of_end[match["image"]], mask.folders) if match else None


def _stems(stem: str) -> Iterator[str]:
    """What the image of a mask may be called, the likeliest first."""
    yield stem
    for pattern in (AFTER, BEFORE, NUMBERED):
        if match := pattern.match(stem):
            yield match["image"]


def _only(keys: set[Key], folders: tuple[str, ...]) -> Key | None:
    """The only one of some images that lies in these folders, below or above them."""
    near = [key for key in keys if all(a == b for a, b in zip(key[0], folders, strict=False))]
    return near[0] if len(near) == 1 else None

"""COCO annotations: a .json, or a folder with one beside the images, in annotations/, or in a folder of each split.

An image's label is the category that all of its annotations have; polygons and run lengths are its mask.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth.cohort.decoding import Unusable
from sonosynth.cohort.formats import _outlines
from sonosynth.cohort.formats._given import side_of, with_both_sides
from sonosynth.cohort.formats._kept import kept
from sonosynth.cohort.places import Part
from sonosynth.cohort.sources import By, Listing, Source, Taken, escape_formula, unfit
from sonosynth.errors import UserError, first_line, inert

KEYS = ("images", "annotations", "categories")
PATTERNS = ("*.json", "annotations/*.json", "*/_annotations.coco.json")
LARGEST = 1_000_000_000  # bytes
EXPECTED = "a JSON object with images, annotations and categories, as COCO defines them"


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return any(_parsed(file) is not None for file in _files(path))


def listing(path: Path) -> Listing:
    """The images that annotations list, and that have one category each.

    Raises:
        UserError: if an entry lacks what COCO defines, or two files list one image.
    """
    root = path if path.is_dir() else path.parent.parent if path.parent.name == "annotations" else path.parent
    found = Listing(root, [])
    for file in _files(path):
        content = _parsed(file)
        if content is None:
            continue
        try:
            _add(found, file, content)
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise UserError(f"cohort {file}: {type(error).__name__}: {first_line(error)}", EXPECTED) from None
    found.taken["label"] = Taken(By.ANNOTATION)
    if any(source.masks for source in found.sources):
        found.taken["mask"] = Taken(By.ANNOTATION)
    found.taken["split"] = Taken(By.FILE_NAME)
    return with_both_sides(found)


def decode(file: Path, name: str) -> tuple[np.ndarray, str]:
    """(H, W) uint8, 0 or 255: the mask of the image with the number `name`; and the mode 1.

    Raises:
        Unusable: if its segmentations can't be drawn.
    """
    image, segmentations = _segmentations(file)[name]
    try:
        height, width = int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError):
        raise Unusable("has segmentations, but no height and width") from None
    return _outlines.drawn(segmentations, height, width) * np.uint8(255), "1"


def _files(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix.lower() == ".json":
        yield path
    elif path.is_dir():
        yield from sorted(file for pattern in PATTERNS for file in path.glob(pattern) if not unfit(file, path))


@kept(4)
def _parsed(file: Path) -> dict[str, Any] | None:
    """The content of a file, or None if it is no COCO, or too large."""
    if file.stat().st_size > LARGEST:
        return None
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and all(isinstance(found.get(key), list) for key in KEYS) else None


@kept(4)
def _segmentations(file: Path) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Each image that has any, by its number, with its segmentations."""
    content = _parsed(file) or {key: [] for key in KEYS}
    images = {str(image["id"]): image for image in content["images"]}
    found: dict[str, tuple[dict[str, Any], list[Any]]] = {}
    for annotation in content["annotations"]:
        number = str(annotation["image_id"])
        if annotation.get("segmentation") and number in images:
            found.setdefault(number, (images[number], []))[1].append(annotation["segmentation"])
    return found


def _add(found: Listing, file: Path, content: dict[str, Any]) -> None:
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    categories: dict[Any, set[str]] = defaultdict(set)
    for annotation in content["annotations"]:
        categories[annotation["image_id"]].add(names[annotation["category_id"]])
    masked, folders = _segmentations(file), _folders(found.root, file)
    given = side_of(file.stem) or (side_of(file.parent.name) if file.parent != found.root else "")
    for image in content["images"]:
        name, number, labels = str(image["file_name"]), str(image["id"]), sorted(categories[image["id"]])
        places = [Path(os.path.normpath(folder / name)) for folder in folders]
        place = next((place for place in places if place.is_file()), places[0])
        shown = inert(name)
        if not labels:
            found.ignored[shown] = "has no annotation, so it has no label"
        elif len(labels) > 1:
            several = first_line(", ".join(labels))
            found.problems[shown] = f"has annotations of {len(labels)} categories ({several}); one label is expected"
        elif reason := unfit(place, found.root):
            found.problems[shown] = reason
        else:
            masks = (Part(file, "coco", number),) if number in masked else ()
            shown = escape_formula(place.relative_to(found.root).as_posix())
            found.sources.append(Source(shown, place, labels[0], masks, given=given))


def _folders(root: Path, file: Path) -> list[Path]:
    """Where the names of images may start: beside the annotations, in the cohort, or in one of its folders."""
    inner = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    named = [folder / file.stem.removeprefix("instances_") for folder in (root, *inner)]
    return [*dict.fromkeys((file.parent, *named, root, *inner))]

"""Class folders whose files need not be of a kind that Pillow reads, and may lie in folders of patients and studies."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.formats._per_file import place_of, stem_of
from sonosynth.cohort.formats._values import MASK
from sonosynth.cohort.places import Part, Place, file_of
from sonosynth.cohort.sources import Listing, Source, unfit
from sonosynth.errors import inert

IS_MASK = re.compile(r"^(?P<image>.+)_(mask|gt|seg)(_\d+)?$", re.IGNORECASE)
ENOUGH = 200  # files, by which a folder is judged


def mostly(root: Path, is_one: Callable[[Path], bool]) -> bool:
    """Whether more of the first files in the class folders of `root` are of one kind than images that Pillow reads."""
    others = ours = 0
    for folder in _folders(root):
        for file, _ in zip(_files(folder), range(ENOUGH), strict=False):
            if file.suffix.lower() in EXTENSIONS:
                others += 1
            elif file.is_file() and is_one(file):
                ours += 1
    return ours > others


def listing(root: Path) -> Listing:
    """The images in the class folders of `root`, at any depth; the first level is the label."""
    found = Listing(root, [])
    for folder in _folders(root):
        places: dict[Path, Place] = {}
        for file in _files(folder):
            name = inert(file.relative_to(root).as_posix())
            reason = unfit(file, root)
            place = None if reason else place_of(file)
            if reason and file.name != "DICOMDIR":
                found.problems[name] = reason
            elif place is None or file.name == "DICOMDIR":
                found.ignored[name] = "is not of a kind that is read"
            else:
                places[file] = place
        _add(found, root, folder.name, places)
    return found


def with_groups(found: Listing, groups: Mapping[Path, str], leave_out: set[Path]) -> Listing:
    """The listing with the groups of its files, and without some of them."""
    kept = [source for source in found.sources if file_of(source.file) not in leave_out]
    return replace(found, sources=[replace(s, group=groups.get(file_of(s.file), s.group)) for s in kept])


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder, without hidden ones, in an order that does not depend on the file system."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _add(found: Listing, root: Path, label: str, places: Mapping[Path, Place]) -> None:
    """Tell images from masks, which have the name of an image in the same folder."""
    stems = Counter((file.parent, stem_of(file)) for file in places)
    masks: dict[tuple[Path, str], list[Place]] = {}
    for file, place in places.items():
        match = IS_MASK.match(stem_of(file))
        if match and (image := (file.parent, match["image"])) in stems:
            masks.setdefault(image, []).append(replace(place, name=MASK) if isinstance(place, Part) else place)
    for file, place in places.items():
        key, match = (file.parent, stem_of(file)), IS_MASK.match(stem_of(file))
        if match and (file.parent, match["image"]) in masks:
            continue
        name = stem_of(file) if stems[key] == 1 else file.name
        source = Source(file.with_name(name).relative_to(root).as_posix(), place, label, tuple(masks.get(key, ())))
        found.sources.append(source)

"""Class folders: images at any depth below them, masks beside them or in folders of their own, sides above them."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.formats._given import SIDES, with_both_sides
from sonosynth.cohort.formats._masks import Named, Pairs, named, paired
from sonosynth.cohort.formats._per_file import place_of, stem_of
from sonosynth.cohort.formats._values import MASK
from sonosynth.cohort.kinds import kind_of
from sonosynth.cohort.places import Part, Place, file_of
from sonosynth.cohort.sources import SIMULATED, UNLABELLED, By, Listing, Source, Taken, unfit
from sonosynth.errors import inert

ENOUGH = 200  # files, by which a folder is judged
NOT_READ = "is not of a kind that is read"
LEFT_BEHIND = {"__macosx", "desktop.ini", "thumbs.db"}
"""What operating systems put into folders and archives, in any case."""


def mostly(root: Path, is_one: Callable[[Path], bool]) -> bool:
    """Whether more of the first files in the class folders of `root` are of one kind than images that Pillow reads."""
    others = ours = 0
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] != "."):
        for file, _ in zip(_files(folder), range(ENOUGH), strict=False):
            if file.suffix.lower() in EXTENSIONS:
                others += 1
            elif file.is_file() and is_one(file):
                ours += 1
    return ours > others


def listing(root: Path) -> Listing:
    """The images in the class folders of `root`. The first folder that says neither side nor kind is the label."""
    found = Listing(root, [])
    places: dict[Path, Place] = {}
    names: dict[Path, Named] = {}
    for file in _files(root):
        place = None if file == root / SIMULATED else _place(found, file)
        if place is not None:
            places[file] = place
            names[file] = named(file.relative_to(root).parts[:-1], stem_of(file))
    pairs = paired(names)
    for file in pairs.lost:
        found.problems[_shown(found, file)] = "is a mask, but there is no image of that name"
    _add(found, places, names, pairs)
    if pairs.masks:
        found.taken["mask"] = Taken(By.FOLDER if pairs.apart else By.FILE_NAME)
    return with_both_sides(found)


def with_groups(found: Listing, groups: Mapping[Path, str], leave_out: set[Path]) -> Listing:
    """The listing with the groups of its files, which their headers tell, and without some of them."""
    kept = [source for source in found.sources if file_of(source.file) not in leave_out]
    told = {"group": Taken(By.HEADER)} if any(groups.values()) else {}
    sources = [replace(s, group=groups.get(file_of(s.file), s.group)) for s in kept]
    return replace(found, sources=sources, taken=found.taken | told)


def _files(root: Path) -> Iterator[Path]:
    """Files below a folder, without hidden ones and what is `LEFT_BEHIND`, in an order that does not depend on the file
    system; links to folders, which are not followed, among them.
    """
    for place, folders, names in os.walk(root):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = sorted(name for name in folders if _counts(name))
        yield from (Path(place, name) for name in sorted([*names, *links]) if _counts(name))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in LEFT_BEHIND


def _shown(found: Listing, file: Path) -> str:
    return inert(file.relative_to(found.root).as_posix())


def _place(found: Listing, file: Path) -> Place | None:
    """Where the picture of a file is; None, and why in the listing, if it has none."""
    name, pictured = _shown(found, file), file.suffix.lower() in EXTENSIONS
    if file.is_dir():
        found.problems[name] = "is a link to a folder, and links to folders are not followed"
        return None
    if reason := unfit(file, found.root):
        (found.problems if pictured or file.is_symlink() else found.ignored)[name] = reason
        return None
    if file.name == "DICOMDIR":
        found.ignored[name] = "lists DICOM files, and holds no image"
        return None
    place = place_of(file)
    if place is None:
        kind = kind_of(file)
        found.ignored[name] = NOT_READ + (f", but {kind}" if kind else "")
    return place


def _add(found: Listing, places: Mapping[Path, Place], names: Mapping[Path, Named], pairs: Pairs) -> None:
    above = {names[file].folders[0] for file in pairs.images if len(names[file].folders) > 1}
    sides = {name for name in above if name.lower() in SIDES}
    stems = Counter((file.parent, names[file].stem) for file in pairs.images)
    below: set[Path] = set()
    for file in pairs.images:
        folders = names[file].folders
        side, folders = (folders[0], folders[1:]) if folders and folders[0] in sides else ("", folders)
        if not folders:
            found.ignored[_shown(found, file)] = UNLABELLED
            continue
        if not side and len(folders) > 1 and folders[1].lower() in SIDES:
            side = folders[1]
        elif len(folders) > 1:
            below.add(file.parent)
        own = (places[mask] for mask in pairs.masks.get(names[file].key, ()))
        masks = tuple(replace(mask, name=MASK) if isinstance(mask, Part) else mask for mask in own)
        name = names[file].stem if stems[file.parent, names[file].stem] == 1 else file.name
        place = file.with_name(name).relative_to(found.root).as_posix()
        found.sources.append(Source(place, places[file], folders[0], masks, given=SIDES.get(side.lower(), "")))
    if below:
        found.ignored["folders below the class folders"] = (
            f"tell nothing (there are {len(below)}, such as {_shown(found, min(below))}); if they are classes, give the"
            " folder that holds these; if they are patients, a table with a column for them"
        )
    found.taken["label"] = Taken(By.FOLDER)
    if all(source.given for source in found.sources):
        found.taken["split"] = Taken(By.FOLDER)
    else:  # some folder happens to be called so
        found.sources[:] = [replace(source, given="") for source in found.sources]

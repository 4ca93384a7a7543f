"""Files that a table names: by their paths, or by what is enough to find them in a folder."""

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from sonosynth.cohort.formats._masks import Named, named, paired
from sonosynth.cohort.formats._per_file import stem_of
from sonosynth.cohort.sources import points_outside, unfit
from sonosynth.errors import first_line, is_plain

MOST = 2_000_000  # files that are looked through


class Lookup:
    """The files that names in a table stand for; relative ones start in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str, *, mask: bool = False) -> Path | str:
        """The file of a name: the one at that path, else the only one below the folder that has this name, in any case
        and with any ending; or why there is none, or none that can be used.

        The folders in the name and those that the file lies in must end alike, so that an absolute path of another
        machine leads to the file in its copy of the folder.

        Args:
            mask: whether it is a mask; folders for masks are looked through for masks only.
        """
        if not is_plain(name):
            return "has a name with control characters"
        place = Path(os.path.normpath(self.root / name))
        reason = unfit(place)
        if not reason:
            return place
        if reason != "is not a file":
            return reason
        wanted = PurePosixPath(name.replace("\\", "/"))
        there = [file for file in self._below.get(wanted.name.lower(), ()) if self._ends_alike(file, wanted)]
        exact = [file for file in there if file.name == wanted.name] or there
        if len(exact) > 1:
            exact = [file for file in exact if _named(file, self.root).is_mask == mask] or exact
        if len(exact) > 1:
            shown = " and ".join(file.relative_to(self.root).as_posix() for file in exact[:2])
            return f"could be {len(exact)} files: {first_line(shown)}"
        return (unfit(exact[0]) or exact[0]) if exact else reason

    def _ends_alike(self, file: Path, wanted: PurePosixPath) -> bool:
        """Whether as many folders as both have below `root`, but at least one if the name has any, are the same."""
        own, named = ([part.lower() for part in path.parts[:-1]] for path in (file, wanted))
        shared = min(max(len(own) - len(self.root.parts), 1), len(named))
        return own[len(own) - shared :] == named[len(named) - shared :]

    @cached_property
    def _below(self) -> dict[str, list[Path]]:
        """The files below the folder, by name and by name without ending, in lower case."""
        found, count = defaultdict(list), 0
        for place, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(name for name in files if not name.startswith(".")):
                file = Path(place, name)
                if file.is_symlink() and points_outside(file, self.root):
                    continue
                for key in {name.lower(), stem_of(file).lower()}:
                    found[key].append(file)
            count += len(files)
            if count > MOST:
                break
        return found


def masks_of(files: list[Path], root: Path) -> dict[Path, list[Path]]:
    """The masks of images below `root` that lie in folders for masks: beside the images, or beside their folders."""
    top = root.parent if named([root.name], "").folders == () else root
    images = {file: _named(file, top) for file in files if file.is_relative_to(top)}
    above = {folder for file in images for folder in file.parents if folder.is_relative_to(top)}
    apart = [
        folder for place in sorted(above) for folder in sorted(place.iterdir())
        if folder.is_dir() and not folder.is_symlink() and named([folder.name], "").is_mask
    ]  # fmt: skip
    masks = {
        Path(place, name): _named(Path(place, name), top)
        for folder in apart for place, _, names in os.walk(folder) for name in sorted(names) if name[0] != "."
    }  # fmt: skip
    masks = {file: name for file, name in masks.items() if file not in images}
    pairs = paired({file: Named(name.folders, name.stem, is_mask=False) for file, name in images.items()} | masks)
    return {file: own for file, name in images.items() if (own := pairs.masks.get(name.key))}


def _named(file: Path, root: Path) -> Named:
    return named(file.relative_to(root).parts[:-1], stem_of(file))

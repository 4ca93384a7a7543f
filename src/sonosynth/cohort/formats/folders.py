"""A folder of class folders, as in BUSI: `X_mask.png` and `X_mask_1.png` beside `X.png` are its masks."""

import re
from collections import Counter
from pathlib import Path

from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.cohort.sources import Listing, Source, unfit
from sonosynth.errors import inert

MASK = re.compile(r"^(?P<image>.+)_mask(_\d+)?$")


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.is_dir()


def listing(root: Path) -> Listing:
    """The images in the class folders of the folder `root`."""
    found = Listing(root, [])
    visible = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    for file in visible:
        if file.suffix.lower() in EXTENSIONS and file.is_file():
            found.ignored[inert(file.name)] = "lies beside the class folders, so it has no label"
    for folder in (p for p in visible if p.is_dir()):
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        candidates = [p for p in entries if not p.is_dir() and p.suffix.lower() in EXTENSIONS]
        bad = {p: reason for p in candidates if (reason := unfit(p, root))}
        found.problems.update({inert(f"{folder.name}/{p.name}"): reason for p, reason in bad.items()})
        files = [p for p in candidates if p not in bad]
        for entry in entries:
            if entry not in candidates:
                reason = "is a folder inside a class folder" if entry.is_dir() else "does not have an image extension"
                found.ignored[inert(f"{folder.name}/{entry.name}")] = reason
        images = [p for p in files if not MASK.match(p.stem)]
        stems = Counter(p.stem for p in images)
        masks: dict[str, list[Path]] = {}
        for file in files:
            match = MASK.match(file.stem)
            if match and match["image"] in stems:
                masks.setdefault(match["image"], []).append(file)
            elif match:
                reason = f"is a mask, but there is no image {match['image']}"
                found.problems[f"{folder.name}/{file.name}"] = reason
        for file in images:
            name = file.stem if stems[file.stem] == 1 else file.name
            found.sources.append(Source(f"{folder.name}/{name}", file, folder.name, tuple(masks.get(file.stem, ()))))
    return found

"""Which files make up a cohort: a folder of class folders (BUSI's masks are recognised), or a CSV."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.errors import UserError

MASK = re.compile(r"^(?P<image>.+)_mask(_\d+)?$")


@dataclass(frozen=True)
class Source:
    """One image of a cohort, before it is read. `id` is unique in the cohort; paths are absolute."""

    id: str
    file: Path
    label: str
    masks: tuple[Path, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a cohort, the folder that their names are relative to, and the files that are of no use."""

    root: Path
    sources: list[Source]
    problems: dict[str, str]


def list_sources(path: Path) -> Listing:
    """List the images of a cohort, in an order that does not depend on the file system.

    Raises:
        UserError: if there is no cohort at `path`, or a label or a CSV is wrong.
    """
    if path.is_dir():
        listing = _class_folders(path)
    elif path.suffix.lower() == ".csv" and path.is_file():
        listing = _csv(path)
    else:
        found = "is a file" if path.exists() else "does not exist"
        raise UserError(
            f"cohort {path}: {found}",
            "a folder with one folder of images per class, or a CSV with the columns file, label",
        )
    if not listing.sources:
        raise UserError(
            f"cohort {path}: holds no images",
            f"class folders with images in them ({', '.join(sorted(EXTENSIONS))})",
            "give the folder that holds the class folders, not one of them",
        )
    for label in sorted({source.label for source in listing.sources}):
        if not label.strip() or label.startswith(".") or re.search(r'[/\\:*?"<>|\x00-\x1f]', label) or len(label) > 100:
            raise UserError(
                f"cohort {path}: the label {label!r} can't name a folder",
                'at most 100 characters, none of / \\ : * ? " < > | and no leading dot',
                "rename the class",
            )
    return listing


def _class_folders(root: Path) -> Listing:
    sources: list[Source] = []
    problems: dict[str, str] = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        images = {p.stem for p in files if p.suffix.lower() in EXTENSIONS and not MASK.match(p.stem)}
        masks: dict[str, list[Path]] = {}
        for file in files:
            name = file.relative_to(root).as_posix()
            match = MASK.match(file.stem)
            if file.suffix.lower() not in EXTENSIONS:
                problems[name] = "is not an image by its extension"
            elif match and match["image"] in images:
                masks.setdefault(match["image"], []).append(file)
            elif match:
                problems[name] = f"is a mask, but there is no image {match['image']}"
        for file in files:
            if file.suffix.lower() in EXTENSIONS and not MASK.match(file.stem):
                id = file.relative_to(root).with_suffix("").as_posix()
                if any(source.id == id for source in sources[-1:]):  # same stem, another extension
                    id = file.relative_to(root).as_posix()
                sources.append(Source(id, file, folder.name, tuple(masks.get(file.stem, ()))))
    return Listing(root, sources, problems)


def _csv(path: Path) -> Listing:
    root = path.parent
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: can't be read as CSV ({error})", "UTF-8 text with a header line") from None
    missing = {"file", "label"} - set(columns)
    if missing:
        raise UserError(
            f"{path}: has the columns {', '.join(columns) or '(none)'}; {' and '.join(sorted(missing))} missing",
            "file, label and optionally mask, group",
        )
    sources: list[Source] = []
    seen: set[str] = set()
    mistakes: list[str] = []
    for line, row in enumerate(rows, 2):
        name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
        if not name or not label:
            mistakes.append(f"line {line}: file or label is empty")
            continue
        masks = [m.strip() for m in (row.get("mask") or "").split(";") if m.strip()]
        absent = [n for n in (name, *masks) if not (root / n).is_file()]
        if absent:
            mistakes.append(f"line {line}: there is no file {', '.join(absent)} in {root}")
        elif name in seen:
            mistakes.append(f"line {line}: {name} is listed twice")
        seen.add(name)
        group = (row.get("group") or "").strip()
        sources.append(Source(name, root / name, label, tuple(root / m for m in masks), group))
    if mistakes:
        shown = mistakes[:10] + [f"and {len(mistakes) - 10} more"] * (len(mistakes) > 10)
        raise UserError(f"{path}:\n  " + "\n  ".join(shown), "files that exist, paths relative to the CSV, each once")
    return Listing(root, sorted(sources, key=lambda s: s.id), {})

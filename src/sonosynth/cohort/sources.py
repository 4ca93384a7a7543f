"""Which files make up a cohort: a folder of class folders (BUSI's masks are recognised), or a CSV."""

import csv
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sonosynth.cohort.decoding import EXTENSIONS
from sonosynth.errors import UserError, first_line

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
    """The images of a cohort, and the folder that their names are relative to.

    problems: files that should be images or masks and can't be used. ignored: what was left aside. Both map a
    name to the reason.
    """

    root: Path
    sources: list[Source]
    problems: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


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
            f"cohort {path}: holds no images in class folders",
            f"class folders with images in them ({', '.join(sorted(EXTENSIONS))})",
            "give the folder that holds the class folders, not one of them",
        )
    labels = sorted({source.label for source in listing.sources})
    for label in labels:
        unfit = re.search(r'[/\\:*?"<>|\x00-\x1f]|^[.=+@-]', label)
        if not label.strip() or unfit or printable(label) != label or len(label.encode()) > 100:
            raise UserError(
                f"cohort {path}: the label {label!r} can't name a folder and the rows of a table",
                'at most 100 bytes of UTF-8, none of / \\ : * ? " < > | and none of . = + - @ at its start',
                "rename the class",
            )
    spelled = {label: unicodedata.normalize("NFC", label).casefold() for label in labels}
    alike = [name for name, count in Counter(spelled.values()).items() if count > 1]
    if alike:
        found = ", ".join(repr(label) for label in labels if spelled[label] in alike)
        raise UserError(
            f"cohort {path}: the labels {found} differ in their case alone", "one spelling of each class", "rename one"
        )
    return listing


def leads_out(file: Path, root: Path) -> bool:
    """Whether a path, links followed, ends outside of the folder `root`."""
    return not file.resolve().is_relative_to(root.resolve())


def _unfit(file: Path, root: Path) -> str:
    """Why a named file can't be one of the cohort at `root`, or ""."""
    try:
        file.name.encode()
        if leads_out(file, root):
            return "is a link that leads out of the cohort" if file.is_symlink() else f"lies outside of {root}"
        return "" if file.is_file() else "is a link that leads nowhere" if file.is_symlink() else "is no file"
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, links in a circle
        return f"can't be opened ({first_line(error)})"


def printable(name: str) -> str:
    """A name with what is not UTF-8 in it escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def inert(name: str, prefix: str = "./") -> str:
    """A name that no spreadsheet takes for a formula."""
    return prefix + name if name.startswith(("=", "+", "-", "@")) else name


def _class_folders(root: Path) -> Listing:
    listing = Listing(root, [])
    visible = sorted(p for p in root.iterdir() if not p.name.startswith("."))
    for file in visible:
        if file.suffix.lower() in EXTENSIONS and file.is_file():
            listing.ignored[file.name] = "lies beside the class folders, so it has no label"
    for folder in (p for p in visible if p.is_dir()):
        entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        candidates = [p for p in entries if not p.is_dir() and p.suffix.lower() in EXTENSIONS]
        unfit = {p: reason for p in candidates if (reason := _unfit(p, root))}
        listing.problems.update({printable(f"{folder.name}/{p.name}"): reason for p, reason in unfit.items()})
        files = [p for p in candidates if p not in unfit]
        for entry in entries:
            if entry not in candidates:
                reason = "is a folder inside a class folder" if entry.is_dir() else "is not an image by its extension"
                listing.ignored[f"{folder.name}/{entry.name}"] = reason
        images = [p for p in files if not MASK.match(p.stem)]
        stems = Counter(p.stem for p in images)
        masks: dict[str, list[Path]] = {}
        for file in files:
            match = MASK.match(file.stem)
            if match and match["image"] in stems:
                masks.setdefault(match["image"], []).append(file)
            elif match:
                reason = f"is a mask, but there is no image {match['image']}"
                listing.problems[f"{folder.name}/{file.name}"] = reason
        for file in images:
            name = file.stem if stems[file.stem] == 1 else file.name
            listing.sources.append(Source(f"{folder.name}/{name}", file, folder.name, tuple(masks.get(file.stem, ()))))
    return listing


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
        unfit = [f"{n} {reason}" for n in (name, *masks) if (reason := _unfit(root / n, root))]
        if unfit:
            mistakes.append(f"line {line}: {'; '.join(unfit)}")
        elif name in seen:
            mistakes.append(f"line {line}: {name} is listed twice")
        seen.add(name)
        group = inert((row.get("group") or "").strip(), "'")
        sources.append(Source(inert(name), root / name, label, tuple(root / m for m in masks), group))
    if mistakes:
        shown = mistakes[:10] + [f"and {len(mistakes) - 10} more"] * (len(mistakes) > 10)
        raise UserError(f"{path}:\n  " + "\n  ".join(shown), "files that exist, paths relative to the CSV, each once")
    return Listing(root, sorted(sources, key=lambda s: s.id))

"""A CSV with the columns file and label, and optionally mask and group; paths are relative to it."""

import csv
import os
from collections import Counter
from pathlib import Path

from sonosynth.cohort.sources import Listing, Source, escape_formula, unfit
from sonosynth.errors import UserError, first_line, is_plain

READ = ("file", "label", "mask", "group")
ENOUGH = 1000  # mistakes, after which the rest is not looked at


def reads(path: Path) -> bool:
    """Whether this format reads what is at `path`."""
    return path.suffix.lower() == ".csv" and path.is_file()


def listing(path: Path) -> Listing:
    """The images that the table at `path` lists."""
    root = path.parent
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: can't be read as CSV ({error})", "UTF-8 text with a header line") from None
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        raise UserError(f"{path}: has several columns {first_line(', '.join(twice))}", "each column once")
    missing = {"file", "label"} - set(columns)
    if missing:
        raise UserError(
            f"{path}: has the columns {', '.join(columns) or '(none)'}; {' and '.join(sorted(missing))} missing",
            "file, label and optionally mask, group",
        )
    sources: list[Source] = []
    seen: set[str] = set()
    mistakes: list[str] = []
    for line, row in rows:
        if len(mistakes) >= ENOUGH:
            break
        name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
        if not name or not label:
            mistakes.append(f"line {line}: file or label is empty")
            continue
        if None in row:
            mistakes.append(f"line {line}: has more cells than the header")
            continue
        place = os.path.normpath(root / name)
        if place in seen:
            mistakes.append(f"line {line}: {first_line(name)} is listed twice")
            continue
        seen.add(place)
        masks = [m.strip() for m in (row.get("mask") or "").split(";") if m.strip()]
        bad = [f"{n} {reason}" for n in (name, *masks) if (reason := unfit(root / n, root))]
        if bad:
            mistakes.append(f"line {line}: {'; '.join(bad)}")
        group = escape_formula((row.get("group") or "").strip(), "'")
        if not is_plain(group):
            mistakes.append(f"line {line}: the group {group!r} has control characters")
        more = tuple((column, row[column] or "") for column in columns if column not in READ)
        places = tuple(root / m for m in masks)
        sources.append(Source(escape_formula(name), root / name, label, places, group, more=more))
    if mistakes:
        shown = mistakes[:10] + [f"and {len(mistakes) - 10} more"] * (len(mistakes) > 10)
        raise UserError(f"{path}:\n  " + "\n  ".join(shown), "files that exist, paths relative to the CSV, each once")
    return Listing(root, sorted(sources, key=lambda s: s.id))

"""What `sonosynth inspect` tells of a cohort, as text."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from sonosynth.cohort.sources import By, Taken
from sonosynth.cohort.traits import COLOUR, Trait
from sonosynth.report import words
from sonosynth.report.terminal import plain_console, plain_text
from sonosynth.report.traits import marked, warnings

FEW = 10  # files that are named for one reason
FEW_SHOWN = 3  # images that have few grey levels
WAYS = {
    ("label", By.FOLDER): "the class folders",
    ("mask", By.FOLDER): "folders for masks, by the names of the images",
    ("mask", By.FILE_NAME): "files X_mask beside X",
    ("split", By.FOLDER): "the names of folders",
    ("split", By.FILE_NAME): "the names of files",
    ("group", By.HEADER): "patients and studies in DICOM headers",
}  # fmt: skip
PLURAL = {By.ARRAY: "the arrays of the file", By.ANNOTATION: "the annotations"}
MASKS = "what is not black in a mask is lesion"


def source(role: str, taken: Taken) -> str:
    """What tells the file, label, mask, group or split."""
    if taken.by is By.COLUMN:
        return f"the column {taken.name}" + " (guessed from its name)" * taken.guessed
    return WAYS.get((role, taken.by)) or PLURAL.get(taken.by) or f"the {taken.by}"


def guessed(taken: Mapping[str, Taken]) -> list[str]:
    """What was guessed of a table's columns, and how to say otherwise; nothing if nothing was."""
    found = {role: how.name for role, how in taken.items() if how.guessed}
    if not found:
        return []
    told = ", ".join(f"{role} from {name}" for role, name in found.items())
    other = ",".join(f"{role}={name}" for role, name in found.items())
    return [f"columns, guessed from their names: {told} (to confirm or change this: --columns {other})"]


def show_cohort(description: Mapping[str, Any]) -> None:
    """Print what `sonosynth inspect` found."""
    console = plain_console()
    shown = Table("class", "images", "with mask", "mean lesion share", title=f"{description['images']} images")
    for label, count in description["classes"].items():
        share = description["lesion_share"].get(label)
        masks = str(description["masks"].get(label, 0))
        shown.add_row(plain_text(label), str(count), masks, "–" if share is None else f"{share:.1%}")
    console.print(shown)
    for line in (*_how(description), *_what(description), *_left_out(description), *_next(description["next"])):
        console.print(plain_text(line), soft_wrap=True, highlight=False)


def _how(description: Mapping[str, Any]) -> Iterator[str]:
    """What was taken for what."""
    yield f"read as: {description['format'].replace('_', ' ')}"
    taken = {role: Taken(**values) for role, values in description["taken"].items()}
    for role, how in taken.items():
        if role in ("file", "label"):
            yield f"{role}: from {source(role, how)}"
    if description["groups"]:
        alone = description["ungrouped"]
        more = f"; {alone} images have none" * bool(alone)
        where = f", from {source('group', taken['group'])}" if "group" in taken else ""
        yield f"groups: {description['groups']}{where}{more}"
    else:
        in_table = "file" in taken and taken["file"].by is By.COLUMN
        how_to = (
            "say which column has them: --columns group=COLUMN" if in_table else "give a table with a column for them"
        )
        yield f"groups: none; if you know the patients, {how_to}"
    if sides := description["split"]:
        counts = "; ".join(
            f"{side} {sum(of.values())} ({', '.join(f'{n} {label}' for label, n in of.items())})"
            for side, of in sides.items()
        )
        where = f", from {source('split', taken['split'])}" if "split" in taken else ""
        yield f"its own split: {counts}{where}; used unless split.given=ignore"
    if description["masks"]:
        where = f"from {source('mask', taken['mask'])}; " if "mask" in taken else ""
        yield f"masks: {where}{MASKS}"
    if description["columns"]:
        yield f"further columns: {', '.join(description['columns'])}"


def _what(description: Mapping[str, Any]) -> Iterator[str]:
    """What the images are like."""
    (w, width), (h, height) = description["width"], description["height"]
    modes = ", ".join(f"{name} ({count})" for name, count in description["modes"].items())
    yield f"sizes: {_span(w, width)} x {_span(h, height)} pixels; stored as {modes}"
    if few := description["few_levels"]:
        levels = _span(min(few.values()), max(few.values()))
        yield (
            f"few grey levels: {len(few)} images have {levels} of 256, such as {', '.join(list(few)[:FEW_SHOWN])}; if"
            " these are masks, put them into a folder called masks; if they have 10 or 12 bits, scale them to 8 or 16"
        )
    if twins := description["twins"]:
        yield f"near-duplicates: {len(twins)} pairs (--json lists them)"
    for title, groups in (("exact copies", "exact_copies"), ("label conflicts of near-duplicates", "label_conflicts")):
        for ids in description[groups]:
            yield f"{title}: {', '.join(ids)}"
    for found in description["adjacent"]:
        if found["suspicious"]:
            yield words.adjacent(found["label"])
    traits = tuple(map(Trait.of, description["marks"] + description["colour"]))
    yield from (marked(trait) for trait in traits if trait.kind != COLOUR)
    yield from warnings(traits, filled=False)


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _left_out(description: Mapping[str, Any]) -> Iterator[str]:
    """Images that no split has, and files that are no images."""
    for row in description["excluded"]:
        yield f"a run leaves out: {row['images']} {row['label']}, {row['reason']}"
    for title, key in (("can't be used", "unusable"), ("ignored", "ignored")):
        by_reason = defaultdict(list)
        for name, reason in description[key].items():
            by_reason[reason].append(name)
        for reason, names in by_reason.items():
            yield from (f"{title}: {name} {reason}" for name in names[:FEW])
            if len(names) > FEW:
                yield f"{title}: {len(names) - FEW} more, for the same reason (--json lists them)"


def _next(following: Mapping[str, Any]) -> Iterator[str]:
    if following["missing"]:
        yield f"can't be run as it is: {following['missing']}"
        return
    if following["modality"]:
        yield (
            "prompts will say that these are ultrasound images; if they are not, add --set modality=mri (or xray, ct,"
            " other)"
        )
    yield f"next: {following['command']}"

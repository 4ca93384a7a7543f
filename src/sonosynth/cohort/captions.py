"""Prompts that say of each image what the cohort's further columns say: `"ultrasound image of {label}, {device}"`."""

import re
from collections.abc import Container, Iterable, Mapping

import pandas as pd

COLUMN = re.compile(r"\{([^{}]+)\}")
HOLE = "\0"  # stands for a value that is missing
LITTLE = "a|an|the|of|in|on|at|by|with|from|for|to"
BRACKETED = re.compile(rf"[(\[]\s*{HOLE}\s*[)\]]")
JOINED = re.compile(rf"{HOLE}\s+(?:and|or)\b|\b(?:and|or)\s+{HOLE}|{HOLE}(?:\s*{HOLE})+", re.I)
DANGLING = re.compile(rf"(?:\b(?:{LITTLE})\s+)*{HOLE}(?=\s*(?:$|[.;:!?]|(?:{LITTLE})\b))", re.I)


def columns(prompts: Iterable[str]) -> list[str]:
    """The columns that prompts name in braces, sorted."""
    return sorted({name for prompt in prompts for name in COLUMN.findall(prompt)})


def filled(prompt: str, values: Mapping[str, str]) -> str:
    """A prompt with the values of its columns.

    A value that is missing leaves no hole. A part between two commas is left out if none of its columns has a value,
    but for the first part. Elsewhere the value is left out with its brackets, with the `and` or `or` that joins it to
    another, and with the little words (of, a, by, at, ...) before it, unless a word follows that they may belong to.
    """
    if not columns([prompt]):
        return prompt
    first, *rest = prompt.split(",")
    known = {name: said for name, value in values.items() if (said := value.strip().replace("_", " "))}
    kept = [first, *(part for part in rest if not (names := columns([part])) or known.keys() & names)]
    text = ",".join(part for part in (_without_holes(part, known) for part in kept) if part.strip())
    text = COLUMN.sub(lambda found: known[found[1]], text)
    return re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))


def _without_holes(part: str, known: Container[str]) -> str:
    """A part of a prompt without the names that have no value."""
    part, before = COLUMN.sub(lambda found: found[0] if found[1] in known else HOLE, part), None
    while before != part:
        before, part = part, JOINED.sub(HOLE, BRACKETED.sub(HOLE, part))
    return DANGLING.sub("", part).replace(HOLE, "")


def of_rows(prompts: Mapping[str, str], rows: pd.DataFrame) -> list[str]:
    """The prompt of each row of cohort.csv.

    Args:
        prompts: each label's, whose columns `rows` has, all of them text.
    """
    names = columns(prompts.values())
    return [
        filled(prompts[label], dict(zip(names, values, strict=True)))
        for label, *values in zip(rows["label"], *(rows[name] for name in names), strict=True)
    ]

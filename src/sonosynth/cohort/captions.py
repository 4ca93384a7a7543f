"""Prompts that say of each image what the cohort's further columns say: `"ultrasound image of {label}, {device}"`."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

COLUMN = re.compile(r"\{([^{}]+)\}")


def columns(prompts: Iterable[str]) -> list[str]:
    """The columns that prompts name in braces, sorted."""
    return sorted({name for prompt in prompts for name in COLUMN.findall(prompt)})


def filled(prompt: str, values: Mapping[str, str]) -> str:
    """A prompt with the values of its columns.

    A value that is missing leaves no hole: the part between two commas in which no column has a value is left out,
    but for the first part.
    """
    if not columns([prompt]):
        return prompt
    first, *rest = prompt.split(",")
    kept = [first, *(part for part in rest if not COLUMN.findall(part) or any(map(values.get, COLUMN.findall(part))))]
    text = ",".join(COLUMN.sub(lambda found: values.get(found[1], "").replace("_", " "), part) for part in kept)
    return re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))


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

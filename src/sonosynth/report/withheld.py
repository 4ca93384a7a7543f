"""What a report that leaves the house has no room for: real patients' images, and where files lie."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from sonosynth.artefacts import SyntheticSet
from sonosynth.fidelity.memorisation import flagged
from sonosynth.report.declared import Declared
from sonosynth.report.facts import Facts
from sonosynth.synthesis.described import COLUMN

VALUES = "(withheld: it has a patient's values)"


def showable(made: SyntheticSet, declared: Declared, memorisation: pd.DataFrame) -> np.ndarray:
    """Which images (N,) bool of a set show no real image: it wasn't made from real ones, and they are no copies.

    Args:
        memorisation: rows of memorisation.csv.
    """
    if declared.from_real(made.name):
        return np.zeros(len(made.rows), bool)
    searched = memorisation["file_name"][memorisation["set"] == made.name]
    names = made.rows["file_name"]
    return (names.isin(searched) & ~names.isin(flagged(memorisation, made.name))).to_numpy()


def without_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of metadata.csv without the prompts that say what the cohort's columns say of one training image."""
    if COLUMN not in rows:
        return rows
    return rows.assign(prompt=rows["prompt"].where(rows[COLUMN].fillna("") == "", VALUES))


def paths(values: Any) -> dict[str, str]:
    """The paths among all texts of nested settings, and what is told of each: its last part."""
    if isinstance(values, str):
        return {values: PureWindowsPath(values).name or "/"} if _is_path(values) else {}
    items = values.values() if isinstance(values, Mapping) else values if isinstance(values, (list, tuple)) else ()
    return {path: name for value in items for path, name in paths(value).items()}


def without(values: Any, hidden: Mapping[str, str]) -> Any:
    """Nested settings in which the texts `hidden` are replaced."""
    if isinstance(values, Mapping):
        return {key: without(value, hidden) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return type(values)(without(value, hidden) for value in values)
    return hidden.get(values, values) if isinstance(values, str) else values


def of_facts(facts: Facts, hidden: Mapping[str, str]) -> Facts:
    """The same facts, models named by the last parts of their paths."""
    named = {name: without(getattr(facts, name), hidden) for name in ("base", "classifier", "networks")}
    return replace(facts, **named)


def _is_path(text: str) -> bool:
    """Whether a text is a path; a hub id, as owner/name, is one only if there is such a file or folder here."""
    if (
        text.startswith(("~", "./", "../", ".\\", "..\\"))
        or Path(text).is_absolute()
        or PureWindowsPath(text).is_absolute()
    ):
        return True
    return "/" in text and len(text) < 1000 and Path(text).exists()

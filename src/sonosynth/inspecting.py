"""What is in a cohort, and what to do next: `sonosynth inspect`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonosynth import shipped
from sonosynth.cohort.description import describe
from sonosynth.cohort.reading import Cohort, decode, list_files
from sonosynth.cohort.sources import one_class
from sonosynth.cohort.split import to_table
from sonosynth.errors import UserError
from sonosynth.modality import ULTRASOUND
from sonosynth.settings import Settings

PRESET = "quick"


def inspect(path: Path, wanted: Settings, options: Sequence[str] = ()) -> dict[str, Any]:
    """What `cohort.description.describe` finds, and next: what is missing for a study ("" if nothing), the command that
    runs one, and modality: whether it takes the images for ultrasound without knowing.

    Args:
        options: of the command line, that the next command repeats.

    Raises:
        UserError: if there is no cohort at `path`, or none of its files can be used.
    """
    cohort = decode(list_files(path, wanted.cohort), how=wanted.reading)
    return describe(cohort, wanted.split) | {"next": _next(cohort, wanted, options)}


def _next(cohort: Cohort, wanted: Settings, options: Sequence[str]) -> dict[str, Any]:
    table = wanted.cohort
    fitting = shipped.fitting(cohort.labels)
    columns = {role: how.name for role, how in cohort.taken.items() if how.guessed} | table.named
    words = ["sonosynth", "run", str(cohort.path)]
    if any("," in name for name in columns.values()):
        words += ["--set", f"cohort.columns={json.dumps(columns)}"]
    elif columns:
        words += ["--columns", ",".join(f"{role}={name}" for role, name in columns.items())]
    words += ["--images", table.images] if table.images else []
    words += ["--out", f"runs/{cohort.path.resolve().stem}", "--preset", PRESET]
    words += [word for name in fitting for word in ("--config", name)] if not wanted.prompts.labels else []
    words += options
    words += ["--skip-bad"] if cohort.problems else []
    return {
        "missing": _missing(cohort, wanted),
        "command": shlex.join(words),
        "modality": not fitting and wanted.modality == ULTRASOUND,
    }


def _missing(cohort: Cohort, wanted: Settings) -> str:
    """Why a study of the cohort would be refused, and what to do; "" if it would not."""
    try:
        if len(set(cohort.labels)) < 2:
            raise one_class(cohort.path, cohort.labels[0], cohort.images["id"], cohort.taken)
        to_table(cohort, wanted.split, seed=0)
    except UserError as error:
        return f"{error.found}; {error.fix}"
    return ""

"""What is in a cohort, and what to do next: `sonosynth inspect`."""

import json
import shlex
from pathlib import Path
from typing import Any

from sonosynth import settings
from sonosynth.cohort.description import describe
from sonosynth.cohort.reading import Cohort, decode, list_files
from sonosynth.cohort.settings import AS_IT_IS, Table
from sonosynth.cohort.split import to_table
from sonosynth.errors import UserError

PRESET = "quick"


def inspect(path: Path, table: Table = AS_IT_IS) -> dict[str, Any]:
    """What `cohort.description.describe` finds, and next: what is missing for a study ("" if nothing), the command that
    runs one, and modality: whether it takes the images for ultrasound without knowing.

    Raises:
        UserError: if there is no cohort at `path`, or none of its files can be used.
    """
    cohort = decode(list_files(path, table))
    return describe(cohort) | {"next": _next(cohort, table)}


def _next(cohort: Cohort, table: Table) -> dict[str, Any]:
    fitting = [name for name, words in settings.shipped_words().items() if set(cohort.labels) <= set(words)]
    columns = {role: how.name for role, how in cohort.taken.items() if how.guessed} | table.named
    words = ["sonosynth", "run", str(cohort.path)]
    if any("," in name for name in columns.values()):
        words += ["--set", f"cohort.columns={json.dumps(columns)}"]
    elif columns:
        words += ["--columns", ",".join(f"{role}={name}" for role, name in columns.items())]
    words += ["--images", table.images] if table.images else []
    words += ["--out", f"runs/{cohort.path.resolve().stem}", "--preset", PRESET]
    words += [word for name in fitting for word in ("--config", name)]
    words += ["--skip-bad"] if cohort.problems else []
    return {"missing": _missing(cohort), "command": shlex.join(words), "modality": not fitting}


def _missing(cohort: Cohort) -> str:
    """Why a study of the cohort would be refused; "" if it would not."""
    if len(set(cohort.labels)) < 2:
        return f"all images have one label, {cohort.labels[0]}; at least two classes are needed"
    try:
        to_table(cohort, settings.load(PRESET).split, seed=0)
    except UserError as error:
        return error.found
    return ""

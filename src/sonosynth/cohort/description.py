"""What is in a cohort: what `sonosynth inspect` tells."""

from collections import Counter
from dataclasses import asdict
from typing import Any

import pandas as pd

from sonosynth.cohort import own_split
from sonosynth.cohort.reading import Cohort, conflicts
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import why_excluded
from sonosynth.cohort.traits import COLOUR

DEFAULT = Split()


def describe(cohort: Cohort, split: Split = DEFAULT) -> dict[str, Any]:
    """What `sonosynth inspect` prints, as JSON values.

    Args:
        split: by which images are left out.
    """
    images = cohort.images
    copies = images.groupby("pixels", sort=False)["id"].agg(list)
    masked = images[images["mask"] != ""]
    return {
        "format": cohort.format,
        "taken": {role: asdict(taken) for role, taken in cohort.taken.items()},
        "images": len(images),
        "classes": _counts(images["label"]),
        "width": [int(images["width"].min()), int(images["width"].max())],
        "height": [int(images["height"].min()), int(images["height"].max())],
        "modes": dict(Counter(images["mode"]).most_common()),
        "masks": _counts(masked["label"]),
        "lesion_share": {
            str(label): round(float(shares.mean()), 4)
            for label, shares in masked[masked["lesion"] > 0].groupby("label")["lesion"]
        },
        "groups": len(set(images["group"]) - {""}),
        "ungrouped": int((images["group"] == "").sum()),
        "split": {side: _counts(rows["label"]) for side, rows in images.groupby("given") if side},
        "columns": [name for name in cohort.own if name != "id"],
        "excluded": _excluded(cohort, split),
        "exact_copies": [ids for ids in copies if len(ids) > 1],
        "twins": cohort.twins[["id", "twin"]].to_numpy().tolist(),
        "label_conflicts": conflicts(cohort),
        "adjacent": [found.described() for found in cohort.adjacent],
        "marks": [found.described() for found in cohort.traits if found.kind != COLOUR],
        "colour": [found.described() for found in cohort.traits if found.kind == COLOUR],
        "few_levels": dict(cohort.few_levels),
        "unusable": cohort.problems,
        "ignored": cohort.ignored,
    }


def _counts(labels: pd.Series) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def _excluded(cohort: Cohort, split: Split) -> list[dict[str, Any]]:
    """What a split leaves out: label, reason, images."""
    own = own_split.used(split, list(cohort.images["given"]), None)
    found = Counter((cohort.labels[row], str(out.reason)) for row, out in why_excluded(cohort, split, own=own).items())
    return [{"label": label, "reason": reason, "images": count} for (label, reason), count in sorted(found.items())]

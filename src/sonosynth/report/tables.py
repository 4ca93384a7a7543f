"""The job that makes the tables of the evaluation, from the predictions alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk
from sonosynth.artefacts import Artefact, Split
from sonosynth.evidence import contrasts, scores
from sonosynth.evidence.contrasts import Folds
from sonosynth.evidence.tests import wilson
from sonosynth.evidence.verdicts import Refusal, verdicts
from sonosynth.fidelity.copies import FALSE_POSITIVE_RATE
from sonosynth.report import words

VERSION = 2


@dataclass(frozen=True)
class Tabulating:
    """reference: the arm that all others are compared with. arms: the sets that each adds. leaking: arms whose
    generator has seen the validation images. blocks: the split of each repeat. folded: whether splits are folds.
    """

    reference: str
    arms: Mapping[str, tuple[str, ...]]
    leaking: tuple[str, ...]
    blocks: tuple[int, ...]
    folded: bool


def tabulate(
    settings: Tabulating, *, predictions: Artefact, parts: tuple[Artefact, ...], splits: tuple[Split, ...],
    copies: tuple[Artefact, ...], work: Path,
) -> None:  # fmt: skip
    """Scores, differences and verdicts: makes table, classes, differences, verdicts."""
    found = predictions.table("table", "arm", "id", "label")
    groups = {str(i): str(g) for s in splits for i, g in zip(s.used["id"], s.used["group"], strict=True) if g}
    present = set(found["arm"])
    scored = {
        arm: scores.score_arm(found[found["arm"] == arm], groups) if arm in present else None for arm in settings.arms
    }
    trained = [part.json("about") for part in parts]
    counts = {arm: [about["n_train"] for about in trained if about["arm"] == arm] for arm in settings.arms}
    n_train = {arm: round(float(np.mean(values))) for arm, values in counts.items()}
    first = splits[0]
    folds = Folds(len(first.validation) / len(first.train), dict(enumerate(settings.blocks)))
    differences = contrasts.differences(found, scored, settings.reference, folds if settings.folded else None)
    judged = verdicts(differences, scored, settings.reference, _refusals(settings, copies))
    sentences = [(v.arm, str(v.finding), words.verdict(v, settings.reference)) for v in judged]
    tables = {
        "table": scores.table(scored, n_train, found["id"].nunique()),
        "classes": scores.class_table(scored),
        "differences": differences,
        "verdicts": pd.DataFrame(sentences, columns=["arm", "finding", "sentence"]),
    }
    for name, rows in tables.items():
        disk.write_text(work / name, rows.to_csv(index=False))


def _refusals(settings: Tabulating, copies: Sequence[Artefact]) -> dict[str, Refusal]:
    """The arms whose scores must not be believed."""
    found = pd.concat([table.table("table", "set") for table in copies])
    flags = {str(name): rows["copy"].astype(bool) for name, rows in found.groupby("set")}
    refused = {}
    for arm, sets in settings.arms.items():
        if arm in settings.leaking:
            refused[arm] = Refusal(leaks=True)
            continue
        for name in sets:
            own = flags.get(name)
            if own is not None and wilson(int(own.sum()), len(own))[0] > 2 * FALSE_POSITIVE_RATE:
                refused[arm] = Refusal(copied=float(own.mean()))
    return refused

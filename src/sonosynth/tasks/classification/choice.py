"""The jobs of an arm that chooses among others (`best_of`): which of them, and the predictions of that one.

The choice goes by inner images alone, so that the scored ones judge the whole procedure: choose, then train.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk, firewall
from sonosynth.artefacts import SEALED, Artefact, CohortImages, Split
from sonosynth.evidence.scores import macro_f1

VERSION = 1


@dataclass(frozen=True)
class Choosing:
    """name: the arm's. draw, split, generator: as in predictions.csv."""

    name: str
    draw: int
    split: int
    generator: str


def choose(
    settings: Choosing, *, cohort: CohortImages, split: Split, candidates: tuple[Artefact, ...], work: Path
) -> None:
    """Choose the candidate with the best macro F1 on the inner images, mean over its seeds: makes table.

    Its columns are arm, draw, split, generator, candidate, score and chosen. Of equal ones, the first is chosen.

    Args:
        candidates: what `jobs.train` made for each of them and each seed.

    Raises:
        UserError: if a validation or a sealed image is among those that choose.
    """
    unseen = pd.concat([split.validation, split.sealed])["sha256"]
    scores: dict[str, list[float]] = {}
    for part in candidates:
        rows = part.table("inner", "arm", "id", "label")
        firewall.check(cohort.origins(cohort.rows(rows["id"])).all(), unseen, f"the choice of the arm {settings.name}")
        scores.setdefault(str(rows["arm"].iloc[0]), []).append(macro_f1(rows)[0])
    means = [float(np.mean(values)) for values in scores.values()]
    about = {"arm": settings.name, "draw": settings.draw, "split": settings.split, "generator": settings.generator}
    table = pd.DataFrame(
        {"candidate": list(scores), "score": means, "chosen": np.arange(len(means)) == np.argmax(means)}
    )
    disk.write_text(work / "table", pd.DataFrame(about, table.index).join(table).to_csv(index=False))


def follow(settings: Choosing, *, choice: Artefact, candidates: tuple[Artefact, ...], work: Path) -> None:
    """The predictions of the arm that was chosen, as those of the one that chose: makes table and about (`jobs.train`).

    Args:
        choice: what `choose` made of the same `candidates`.
    """
    table = choice.table("table", "candidate")
    chosen = table["candidate"][table["chosen"]].item()
    parts = [(part, about) for part in candidates if (about := part.json("about"))["arm"] == chosen]
    # As text, so that no digit changes on the way.
    found = pd.concat([pd.read_csv(part.place("table"), dtype=str, keep_default_na=False) for part, _ in parts])
    disk.write_text(work / "table", found.assign(arm=settings.name).to_csv(index=False))
    hidden = [pd.DataFrame(**about[SEALED]).assign(arm=settings.name) for _, about in parts if SEALED in about]
    sealed = {SEALED: pd.concat(hidden).to_dict("split", index=False)} if hidden else {}
    disk.write_json(work / "about", parts[0][1] | {"arm": settings.name} | sealed)

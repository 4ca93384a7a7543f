"""The job that makes the tables of the evaluation, from the predictions alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sonosynth import disk
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.cohort.split import crossing, independent
from sonosynth.errors import UserError
from sonosynth.evidence import judging, tables
from sonosynth.evidence.blocks import arranged
from sonosynth.evidence.judging import Finding
from sonosynth.evidence.scores import ALL, PRIMARY
from sonosynth.evidence.settings import Compare
from sonosynth.evidence.tests import wilson
from sonosynth.fidelity.copies import FALSE_POSITIVE_RATE
from sonosynth.report import sentences, words
from sonosynth.report.facts import Comparison, Fault, Refusal
from sonosynth.tasks import LOST

VERSION = 8
COLUMNS = [
    "arm", "against", "class", "metric", "difference", "low", "high", "test", "p", "p_holm", "finding", "sentence",
]  # fmt: skip
"""The columns of verdicts.csv."""


@dataclass(frozen=True)
class Tabulating:
    """reference: the arm that all others are compared with. arms: all arms. refused: those whose scores can't be
    believed, whatever their images. controls: sets that are exempt from the rule against copies. blocks: the draw and
    the fold of each repeat. families: of how many tasks, which share the error rate.
    """

    reference: str
    arms: Mapping[str, Comparison]
    compare: Compare
    refused: Mapping[str, Refusal]
    controls: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]
    families: int = 1


def tabulate(
    settings: Tabulating, *, cohort: CohortImages, predictions: Artefact, parts: tuple[Artefact, ...],
    splits: tuple[Split, ...], copies: tuple[Artefact, ...], work: Path,
) -> None:  # fmt: skip
    """Scores, differences and verdicts: makes table, classes, verdicts, and about (JSON).

    Validation images with a near-duplicate among the training images are left out, for all arms.

    Raises:
        UserError: if that leaves no validation image of a class.
    """
    every = predictions.table("table", "arm", "generator", "id", "label")
    found = unseen(every, splits, settings.blocks, cohort.twins)
    groups = independent(cohort.images, cohort.twins)
    design = arranged(found, groups)
    table, classes = tables.scores(design, training_images(settings, parts))
    refused = {**settings.refused, **of_images(settings, copies, parts)}
    verdicts = all_verdicts(settings, found, groups, refused)
    about = {"left_out": left_out(every, found), "draws_left_out": list(design.left_out)}
    for name, rows in {"table": table, "classes": classes, "verdicts": verdicts}.items():
        disk.write_text(work / name, rows.to_csv(index=False))
    disk.write_json(work / "about", about)


def left_out(every: pd.DataFrame, found: pd.DataFrame) -> int:
    """How many validation images are left out of the scores, in one draw at least."""
    before, after = (set(zip(rows["draw"], rows["id"], strict=True)) for rows in (every, found))
    return len({name for _, name in before - after})


def training_images(settings: Tabulating, parts: Sequence[Artefact]) -> dict[str, int]:
    """How many images the classifiers of each arm were trained on, the mean over these; 0 without any.

    Args:
        parts: what the classifiers' jobs made.
    """
    trained = [part.json("about") for part in parts]
    counts = {arm: [about["n_train"] for about in trained if about["arm"] == arm] for arm in settings.arms}
    return {arm: round(float(np.mean(values))) if values else 0 for arm, values in counts.items()}


def unseen(
    predictions: pd.DataFrame, splits: Sequence[Split], blocks: Sequence[tuple[int, int]], twins: pd.DataFrame
) -> pd.DataFrame:
    """The predictions of validation images that have no near-duplicate among the training images of their split."""
    kept = pd.Series(True, predictions.index)
    for split, (draw, number) in zip(splits, blocks, strict=True):
        alike = {id for pair in crossing(split.rows, twins) for id in pair}
        own = (predictions["draw"] == draw) & (predictions["split"] == number)
        kept &= ~(own & predictions["id"].isin(alike))
    if gone := set(predictions["label"]) - set(predictions["label"][kept]):
        raise UserError(
            f"near-duplicates: every validation image of {', '.join(sorted(gone))} has one among the training images",
            "validation images that the classifiers have not seen",
            "keep near-duplicates on one side: split.groups=twins",
        )
    return predictions[kept]


def of_images(
    settings: Tabulating, copies: Sequence[Artefact], parts: Sequence[Artefact]
) -> dict[str, Refusal]:  # fmt: skip
    """The arms that are refused for the images of their sets: some are copies of training images, and no controls, or
    all of a class were dropped.

    Args:
        copies: the tables of the search for copies. parts: what the trainings made.
    """
    refused = {name: why for name, why in copied_sets(copies).items() if name not in settings.controls}
    arms = settings.arms.items()
    copying = {arm: refused[name] for arm, comparison in arms for name in comparison.sets if name in refused}
    return losing(parts) | copying


def losing(parts: Sequence[Artefact]) -> dict[str, Refusal]:
    """The arms with a training that needed images of a class, but whose set had lost all."""
    lost: dict[str, dict[str, set[str]]] = {}
    for about in (part.json("about") for part in parts):
        for made, labels in about.get(LOST, {}).items():
            lost.setdefault(about["arm"], {}).setdefault(made, set()).update(labels)
    return {
        arm: Refusal(Fault.LOST, lost={made: tuple(sorted(labels)) for made, labels in of_arm.items()})
        for arm, of_arm in lost.items()
    }


def copied_sets(copies: Sequence[Artefact]) -> dict[str, Refusal]:
    """The sets, controls among them, and real images that are copies of training images more often than by chance.

    Args:
        copies: the tables of the search for copies, of all repeats.
    """
    found = pd.concat([table.table("table", "set") for table in copies])
    refused = {}
    for name, own in found.groupby("set"):
        copied, verbatim = own["copy"].astype(bool), own["verbatim"].astype(bool)
        if verbatim.any():
            refused[str(name)] = Refusal(Fault.VERBATIM, float(verbatim.mean()))
        elif wilson(int(copied.sum()), len(own))[0] > 2 * FALSE_POSITIVE_RATE:
            refused[str(name)] = Refusal(Fault.COPIES, float(copied.mean()))
    return refused


def all_verdicts(
    settings: Tabulating, found: pd.DataFrame, groups: Mapping[str, str], refused: Mapping[str, Refusal],
    where: str = words.ON_COHORT,
) -> pd.DataFrame:  # fmt: skip
    """verdicts.csv: the contrasts of each arm by the score that decides, with its sentence; then those by others.

    Args:
        found: the predictions that count. groups: of an image by its id. where: what findings hold on, in words.
    """
    verdicts, pairs = decided(settings, found, groups, refused, where)
    trusted = found[found["arm"].isin([settings.reference, *pairs])]
    return with_others(verdicts, tables.differences(arranged(trusted, groups), pairs, settings.compare.transfer))


def decided(
    settings: Tabulating, found: pd.DataFrame, groups: Mapping[str, str], refused: Mapping[str, Refusal], where: str,
    score: str = PRIMARY.name,
) -> tuple[pd.DataFrame, dict[str, list[str]]]:  # fmt: skip
    """The contrasts of each arm by the score that decides, with its sentence; and what each that is judged has to beat.

    Args:
        found, groups, where: as in `all_verdicts`. score: one of `scores.DECISIVE`.
    """
    compare, reference = settings.compare, settings.reference
    run = set(found["arm"])
    arms = [arm for arm in settings.arms if arm != reference]
    judged = [arm for arm in arms if arm in run and arm not in refused]
    trusted = found[found["arm"].isin([reference, *judged])]
    against = {arm: [x for x in settings.arms[arm].against(reference) if x in judged] for arm in judged}
    primary = compare.primary if compare.primary in judged else None
    verdicts = judging.judge(
        trusted, reference=reference, groups=groups, against=against, primary=primary, margin=compare.margin,
        transfer=compare.transfer, score=score, families=settings.families,
    )  # fmt: skip
    shown = {"against": reference, "metric": score}
    without = [
        shown | {"arm": arm, "finding": str(Finding.REFUSED if arm in run else Finding.NOT_RUN)}
        for arm in arms if arm not in judged
    ]  # fmt: skip
    every = pd.DataFrame([*verdicts.to_dict("records"), *without], columns=COLUMNS)
    order = every["arm"].map({arm: place for place, arm in enumerate(arms)}).argsort(kind="stable")
    verdicts = every.iloc[order].reset_index(drop=True).assign(**{"class": ALL})
    say = partial(sentences.verdict, compare=compare, reference=reference, where=where)
    said = {
        own.index[0]: say(str(arm), own, settings.arms[str(arm)], refusal=refused.get(str(arm)))
        for arm, own in verdicts.groupby("arm")
    }
    verdicts["sentence"] = [said.get(place, "") for place in verdicts.index]
    return verdicts, {arm: [reference, *against[arm]] for arm in judged}


def with_others(verdicts: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Verdicts, then the contrasts by other scores, with each arm's finding: the rows of verdicts.csv."""
    findings = verdicts.groupby("arm")["finding"].first()
    others = others.assign(finding=others["arm"].map(findings))
    return pd.DataFrame([*verdicts.to_dict("records"), *others.to_dict("records")], columns=COLUMNS)

"""The job that makes the tables of segmentation, from what the segmenters predicted."""

from pathlib import Path

from sonosynth import disk
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.split import independent
from sonosynth.errors import UserError
from sonosynth.evidence import segmented
from sonosynth.evidence.blocks import arranged
from sonosynth.report import words
from sonosynth.report.tables import Tabulating, decided, left_out, of_images, training_images, unseen, with_others

VERSION = 2


def tabulate(
    settings: Tabulating, *, cohort: CohortImages, masks: CohortMasks, predictions: Artefact,
    parts: tuple[Artefact, ...], splits: tuple[Split, ...], copies: tuple[Artefact, ...], work: Path,
) -> None:  # fmt: skip
    """Scores, differences and verdicts by Dice: makes table, verdicts, and about (JSON).

    Validation images with a near-duplicate among the training images are left out, for all arms.

    Args:
        parts: what the segmenters' jobs made.

    Raises:
        UserError: if that leaves no validation image with a lesion.
    """
    every = predictions.table("table", "arm", "generator", "id", "label")
    found = unseen(every, splits, settings.blocks, cohort.twins)
    groups = independent(cohort.images, cohort.twins)
    lesions = segmented.with_lesions(found)
    if lesions.empty:
        raise UserError(
            "tasks: segmentation, but no validation image has a lesion",
            "masks that show lesions among the validation images",
            "validate every image once, in folds: repeats.folds=5",
        )
    refused = {**settings.refused, **of_images(settings, copies, parts)}
    verdicts, pairs = decided(settings, lesions, groups, refused, words.ON_COHORT, segmented.DICE.name)
    trusted = found[found["arm"].isin([settings.reference, *pairs])]
    verdicts = with_others(verdicts, segmented.differences(trusted, groups, pairs, settings.compare.transfer))
    table = segmented.scores(found, groups, training_images(settings, parts))
    disk.write_text(work / "table", table.to_csv(index=False))
    disk.write_text(work / "verdicts", verdicts.to_csv(index=False))
    about = {
        "left_out": left_out(every, found),
        "draws_left_out": list(arranged(lesions, groups).left_out),
        "without_mask": {str(k): int(n) for k, n in masks.rows["label"][~masks.rows["known"]].value_counts().items()},
    }  # fmt: skip
    disk.write_json(work / "about", about)

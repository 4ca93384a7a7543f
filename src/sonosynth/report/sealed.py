"""The job that opens the sealed part: it gathers the hidden predictions, and judges by them."""

from pathlib import Path

import pandas as pd

from sonosynth import disk
from sonosynth.artefacts import SEALED, Artefact, CohortImages
from sonosynth.cohort.split import independent
from sonosynth.evidence.blocks import of_common_images
from sonosynth.report import words
from sonosynth.report.facts import Fault
from sonosynth.report.tables import Tabulating, all_verdicts, of_images

VERSION = 5


def unseal(
    settings: Tabulating, *, cohort: CohortImages, parts: tuple[Artefact, ...], copies: tuple[Artefact, ...], work: Path
) -> None:
    """Makes predictions, with the columns of predictions.csv, and verdicts, with those of verdicts.csv.

    All classifiers of an arm predict the same images, so that blocks are repeats: see `of_common_images`. An epoch
    that was chosen on validation images is no fault here. Copies are, and a generator that has, or may have, seen
    validation images: other arms were not trained on these.

    Args:
        parts: what the classifiers' jobs made.
    """
    predictions = pd.concat([pd.DataFrame(**part.json("about")[SEALED]) for part in parts])
    groups = independent(cohort.images, cohort.twins)
    seen = {arm: refusal for arm, refusal in settings.refused.items() if refusal.fault in (Fault.LEAK, Fault.UNKNOWN)}
    refused = seen | of_images(settings, copies, parts)
    found = all_verdicts(settings, of_common_images(predictions), groups, refused, words.ON_SEALED)
    disk.write_text(work / "predictions", predictions.to_csv(index=False))
    disk.write_text(work / "verdicts", found.to_csv(index=False))

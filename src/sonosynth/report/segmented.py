"""What a run found about segmentation, for the page and the terminal alike."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sonosynth.artefacts import Artefact, CohortImages
from sonosynth.cohort.decoding import resize
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cohort.masks import resized
from sonosynth.evidence.segmented import DICE
from sonosynth.report import words
from sonosynth.report.facts import Unfit
from sonosynth.report.figures import evenly
from sonosynth.report.judged import Judged

COLUMNS = {
    "arm": "arm", "n_train": "images", "dice": "Dice", "hd95": "HD95", "sensitivity": "lesions found",
    "nothing_predicted": "nothing predicted", "false_per_image": "false lesions per image",
    "false_alarms": "false alarms", "finding": "finding",
}  # fmt: skip
SCORES = tuple(COLUMNS)[2:-1]
UNFIT = {
    Unfit.NO_MASKS: "a set of theirs has no masks",
    Unfit.OF_CLASSES: "what they do (class weights, MixUp, TrivialAugment, critics) is for classifiers",
    Unfit.CHOOSES: "they choose among arms by classification",
}


@dataclass(frozen=True)
class Segmented:
    """The tables of segmentation (see `report.segmentation`).

    arms: the synthetic sets that each arm with segmenters adds. unfit: the arms without any, and why. side: of the
    segmenters' images, pixels. without_mask: images of each class that have no mask. left_out: scored images
    with a near-duplicate among the training images.
    """

    table: pd.DataFrame
    verdicts: pd.DataFrame
    predictions: pd.DataFrame
    arms: Mapping[str, tuple[str, ...]]
    unfit: Mapping[str, Unfit]
    side: int
    without_mask: Mapping[str, int]
    left_out: int

    @property
    def sets(self) -> set[str]:
        """The synthetic sets that segmenters learn from."""
        return {name for sets in self.arms.values() for name in sets}

    @property
    def judged(self) -> Judged:
        """What may be said of the arms by Dice."""
        return Judged(self.verdicts, DICE.name, self.arms)

    @property
    def columns(self) -> dict[str, str]:
        """The columns of `rows`, and their titles; of a cohort in which every image has a lesion, no false alarms."""
        without = {"false_alarms"} if self.table["false_alarms"].isna().all() else set()
        return {name: title for name, title in COLUMNS.items() if name not in without}

    def rows(self) -> list[dict[str, str]]:
        """The table as text: one row per arm, by the names of `columns`; a score's interval is under "_interval"."""
        findings, found = self.judged.findings, []
        for row in self.table.to_dict("records"):
            shown = {"arm": str(row["arm"]), "finding": findings.get(str(row["arm"]), "–")}
            if row["status"] != "run":
                found.append(shown | dict.fromkeys(("n_train", *SCORES), "not run"))
                continue
            shown["n_train"] = str(round(row["n_train"]))
            for name in SCORES:
                form = "%.1f" if name == "hd95" else "%.2f" if name == "false_per_image" else "%.3f"
                shown[name] = words.number(row[name], form)
                if pd.notna(low := row[f"{name}_low"]):
                    shown[f"{name}_interval"] = f"{form % max(low, 0)} to {form % row[f'{name}_high']}"
            found.append(shown)
        return found

    def contrasts(self) -> list[dict[Hashable, Any]]:
        """The rows of the verdicts that compare something."""
        return self.verdicts.dropna(subset=["difference"]).to_dict("records")

    @property
    def measured_on(self) -> str:
        """How many images were scored, and which were not."""
        first = self.table[self.table["status"] == "run"].iloc[0]
        lesions, every = int(first["n_lesions"]), int(first["n_validation"])
        text = f"{every} validation images, {lesions} of them with a lesion"
        if self.without_mask:
            counts = ", ".join(f"{n} {label}" for label, n in sorted(self.without_mask.items()))
            text += f"; images without a mask are neither trained on nor scored ({counts})"
        left_out = f"; {self.left_out} with a near-duplicate among training images are left out"
        return text + left_out * bool(self.left_out)

    def not_segmented(self) -> list[str]:
        """The arms that have no segmenters, and why: a sentence for each reason."""
        arms = {reason: [arm for arm, why in self.unfit.items() if why == reason] for reason in self.unfit.values()}
        return [f"Not segmented: {', '.join(names)}, since {UNFIT[reason]}." for reason, names in arms.items()]


OUTLINED = 6  # images


@dataclass(frozen=True)
class Outlines:
    """Some validation images (n, H, W) uint8, their masks (n, H, W), and those that the segmenters of arms predicted.

    ids, labels: of the images.
    """

    images: np.ndarray
    masks: np.ndarray
    predicted: Mapping[str, np.ndarray]
    ids: Sequence[str]
    labels: Sequence[str]

    @classmethod
    def of(cls, cohort: CohortImages, masks: CohortMasks, segmenters: Sequence[Artefact]) -> "Outlines":
        """Some of the images with a lesion that segmenters, one of each arm, predicted; spread evenly, not chosen.

        Args:
            segmenters: what `segmentation.jobs.train` made for the same split.
        """
        tables = [made.table("table", "arm", "id", "label") for made in segmenters]
        shown = np.flatnonzero(tables[0]["lesions"] > 0)
        shown = shown[evenly(len(shown), OUTLINED)]
        first = tables[0].iloc[shown]
        rows, side = cohort.rows(first["id"]), segmenters[0].array("masks").shape[1]
        predicted = {
            str(table["arm"].iloc[0]): np.unpackbits(np.asarray(made.array("masks")[shown]), axis=-1, count=side)
            for made, table in zip(segmenters, tables, strict=True)
        }
        images = resize(np.asarray(cohort.pixels[rows]), side)
        return cls(images, resized(masks.squares[rows], side), predicted, list(first["id"]), list(first["label"]))
